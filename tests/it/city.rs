//! The simulated city: inbound and outbound rush hours, queues and vehicles that go from one corridor to the next, matches,
//! and every way in which detectors fail, each as often as it is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, partition_of_key};
use arterial_connectors::simulate::{
    Direction, Event, EventKind, Faults, Reading, Readings, SimulateConfig, SimulateSource, events, links, sites,
};
use arterial_connectors::source::{SeekTo, Source, SourceEvent};
use serde_json::Value;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn city(corridors: u32, detectors: u32, length_micros: i64) -> SimulateConfig {
    SimulateConfig { corridors, detectors, length_micros: Some(length_micros), ..SimulateConfig::default() }
}

/// Everything there is.
fn busy(corridors: u32, detectors: u32, length_micros: i64) -> SimulateConfig {
    SimulateConfig { stadium: true, weather: true, faults: Faults::All, ..city(corridors, detectors, length_micros) }
}

fn of_kind(config: &SimulateConfig, kind: EventKind) -> Vec<Event> {
    events(config).unwrap().into_iter().filter(|event| event.kind == kind).collect()
}

/// Readings that are JSON, with the time at which they were sent.
fn parsed(config: &SimulateConfig) -> impl Iterator<Item = (i64, Value)> {
    let readings = Readings::new(config).unwrap();
    readings.filter_map(|reading| Some((reading.timestamp_ms * 1000, serde_json::from_slice(&reading.value).ok()?)))
}

/// Mean share of an empty road's speed, of the readings that are wanted by their time and the detector's place.
fn share(config: &SimulateConfig, wanted: impl Fn(i64, usize) -> bool) -> f64 {
    let sites = sites(config);
    let place: BTreeMap<&str, usize> = sites.iter().enumerate().map(|(at, one)| (one.sensor_id.as_str(), at)).collect();
    let (mut sum, mut count) = (0.0, 0.0);
    for (time, value) in parsed(config) {
        let at = place[value["sensor_id"].as_str().unwrap()];
        if let Some(speed) = value["speed_kmh"].as_f64().filter(|speed| *speed >= 0.0 && wanted(time, at)) {
            sum += speed / sites[at].free_flow_kmh;
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn same_seed_gives_the_same_city_on_every_platform() {
    let mut hasher = blake3::Hasher::new();
    for reading in Readings::new(&busy(4, 6, DAY)).unwrap() {
        hasher.update(&reading.key).update(&reading.value).update(&reading.timestamp_ms.to_le_bytes());
    }
    assert_eq!(&hasher.finalize().to_hex()[..16], "7299852d28ed5eba");
}

#[test]
fn roads_into_the_city_are_slow_in_the_morning_and_those_out_of_it_in_the_evening() {
    let config = city(4, 24, 3 * DAY);
    let sites = sites(&config);
    let hours = |time: i64, from: i64| (from * HOUR..(from + 3) * HOUR).contains(&time.rem_euclid(DAY));
    for (direction, slow, free) in [(Direction::Inbound, 7, 16), (Direction::Outbound, 16, 7)] {
        // What lies before the lane drop, where queues are.
        let of = |at: usize| sites[at].direction == direction && sites[at].position_km < 8.0;
        let rush = share(&config, |time, at| of(at) && hours(time, slow));
        let other = share(&config, |time, at| of(at) && hours(time, free));
        assert!(rush < 0.75 && other > 0.85, "{direction:?}: {rush} and {other} of free speed");
    }
}

#[test]
fn queue_of_an_incident_spills_over_the_junction() {
    // A seed under which the way out of the city is blocked near its start, in the evening.
    let config = SimulateConfig { seed: 120, ..city(2, 24, 3 * DAY) };
    let near = |event: &&Event| ["C2-L001", "C2-L002"].contains(&event.sensor_id.as_deref().unwrap());
    let blocked = of_kind(&config, EventKind::Incident).iter().find(near).cloned().unwrap();
    let (from, to) = (blocked.from_micros, blocked.to_micros);
    let last_inbound = 20..24;
    let before = share(&config, |time, at| last_inbound.contains(&at) && (from - 30 * MINUTE..from).contains(&time));
    let during =
        share(&config, |time, at| last_inbound.contains(&at) && (from + 15 * MINUTE..to + 10 * MINUTE).contains(&time));
    assert!(before > 0.9 && during < 0.6, "{before} of free speed before, {during} while the way out is blocked");
    let after =
        share(&config, |time, at| last_inbound.contains(&at) && (to + 90 * MINUTE..to + 2 * HOUR).contains(&time));
    assert!(after > 0.9, "{after}: the queue dissolves");
}

#[test]
fn crowd_of_a_match_drives_in_and_home_over_the_junction() {
    let config = SimulateConfig { seed: 8, stadium: true, ..city(2, 24, DAY) };
    let matches = [EventKind::StadiumArrival, EventKind::StadiumDeparture].map(|kind| of_kind(&config, kind));
    let [arrival, departure] = matches.map(|mut events| events.remove(0));
    let vehicles = arrival.size.unwrap();
    assert_eq!(departure.size.unwrap(), vehicles);
    assert_eq!(departure.from_micros - arrival.to_micros, 2 * HOUR);
    let passed = |config: &SimulateConfig, id: &str| {
        let of_sensor = parsed(config).filter(|(_, value)| value["sensor_id"] == id);
        of_sensor.map(|(_, value)| value["flow_veh_h"].as_f64().unwrap() / 60.0).sum::<f64>()
    };
    let without = SimulateConfig { stadium: false, ..config.clone() };
    let more = |id: &str| (passed(&config, id) - passed(&without, id)) / vehicles;
    // A tenth leaves at each of two exits; of those at the end 40 % go on, as many as came to the match go home.
    for (id, expected) in [("C1-L001", 1.0), ("C1-L024", 0.81), ("C2-L001", 1.0 + 0.4 * 0.81)] {
        assert!((more(id) - expected).abs() < 0.02, "{id}: {} of the crowd, not {expected}", more(id));
    }
}

#[test]
fn failures_happen_as_often_as_documented() {
    // Twenty detectors of each kind over twenty days; per hour without failure, and minutes of one.
    let documented = [
        (EventKind::Stuck, 0.03, 172.5),
        (EventKind::Sentinel, 0.15, 11.5),
        (EventKind::Silent, 0.03, 100.0),
        (EventKind::Noisy, 0.03, 270.0),
        (EventKind::Drift, 0.01, 3600.0),
        (EventKind::Clock, 0.03, 390.0),
        (EventKind::Duplicate, 0.1, 35.0),
    ];
    let config = SimulateConfig { seed: 3, faults: Faults::All, every_micros: 5 * MINUTE, ..city(1, 320, 20 * DAY) };
    let all = events(&config).unwrap();
    for (kind, per_hour, minutes) in documented {
        let of: Vec<&Event> = all.iter().filter(|event| event.kind == kind).collect();
        let sensors: BTreeSet<&str> = of.iter().map(|event| event.sensor_id.as_deref().unwrap()).collect();
        // Failures alternate with times of 1 / per_hour hours on average, so that less time is left for the next one.
        let expected = 20.0 * 480.0 * per_hour / (1.0 + per_hour * minutes / 60.0);
        // Three standard deviations of a count that is at most Poisson's, and the edge of the last failure.
        let spread = 3.0 * f64::sqrt(expected) + 5.0;
        assert!((of.len() as f64 - expected).abs() < spread, "{kind:?}: {} and not {expected:.0}", of.len());
        assert!((18..=20).contains(&sensors.len()), "{kind:?}: {} detectors", sensors.len());
        let lasted = of.iter().map(|event| (event.to_micros - event.from_micros) as f64 / MINUTE as f64).sum::<f64>();
        let mean = lasted / of.len() as f64;
        assert!((mean / minutes - 1.0).abs() < 0.12, "{kind:?}: {mean:.0} minutes and not {minutes}");
    }
}

#[test]
fn incidents_matches_and_showers_come_as_often_as_documented() {
    let config = SimulateConfig { weather: true, stadium: true, every_micros: 5 * MINUTE, ..city(2, 4, 300 * DAY) };
    let all = events(&config).unwrap();
    let count = |kind: EventKind| all.iter().filter(|event| event.kind == kind).count() as f64;
    // Of 600 days of a corridor three of ten, of 300 days of the city three of ten.
    assert!((count(EventKind::Incident) / 600.0 - 0.3).abs() < 0.06);
    assert!((count(EventKind::StadiumArrival) / 300.0 - 0.3).abs() < 0.08);
    assert_eq!(count(EventKind::StadiumArrival), count(EventKind::StadiumDeparture));
    // A shower begins with 4 % in an hour that is dry at its end; one lasts 130 minutes on average.
    let expected = 7200.0 * 0.04 / (1.0 + 0.04 * 130.0 / 60.0);
    assert!((count(EventKind::Rain) - expected).abs() < 3.0 * expected.sqrt(), "{}", count(EventKind::Rain));
}

#[test]
fn other_failures_leave_the_readings_of_other_detectors_as_they_were() {
    let basic = Readings::new(&city(2, 16, DAY)).unwrap();
    let all = Readings::new(&SimulateConfig { faults: Faults::All, ..city(2, 16, DAY) }).unwrap();
    let by_sensor = |readings: Readings| {
        let mut by_sensor: BTreeMap<Vec<u8>, Vec<Reading>> = BTreeMap::new();
        readings.for_each(|reading| by_sensor.entry(reading.key.clone()).or_default().push(reading));
        by_sensor
    };
    let (basic, all) = (by_sensor(basic), by_sensor(all));
    let same = basic.iter().filter(|(id, readings)| all[*id] == **readings).count();
    // Four of 16 are prone to what was added, and some of those do not fail on this day.
    assert!((24..32).contains(&same), "{same} of 32 as they were");
}

/// Readings of the detectors that are prone to a kind, by detector, with the time they were sent at.
fn of_prone(config: &SimulateConfig, failures: &[Event]) -> BTreeMap<String, Vec<(i64, Value)>> {
    let prone: BTreeSet<&str> = failures.iter().map(|event| event.sensor_id.as_deref().unwrap()).collect();
    let mut found: BTreeMap<String, Vec<(i64, Value)>> = BTreeMap::new();
    for (time, value) in parsed(config) {
        let id = value["sensor_id"].as_str().unwrap();
        if prone.contains(id) {
            found.entry(id.to_owned()).or_default().push((time, value));
        }
    }
    found
}

#[test]
fn noisy_detector_scatters_five_times_as_much() {
    let config = busy(1, 64, 3 * DAY);
    let failures = of_kind(&config, EventKind::Noisy);
    // Between readings a minute apart at night: the road changes less than the errors.
    let (mut noisy, mut usual) = ((0.0, 0), (0.0, 0));
    for (id, readings) in of_prone(&config, &failures) {
        let failing = |time| failures.iter().any(|one| one.sensor_id.as_deref() == Some(&id) && one.holds(time));
        for pair in readings.windows(2).filter(|pair| pair[1].0.rem_euclid(DAY) < 5 * HOUR) {
            let [Some(before), Some(now)] = [0, 1].map(|at| pair[at].1["speed_kmh"].as_f64()) else { continue };
            let sums = match (failing(pair[0].0), failing(pair[1].0)) {
                (true, true) => &mut noisy,
                (false, false) => &mut usual,
                _ => continue,
            };
            *sums = (sums.0 + (now - before) * (now - before), sums.1 + 1);
        }
    }
    let ratio = f64::sqrt(noisy.0 / f64::from(noisy.1) / (usual.0 / f64::from(usual.1)));
    assert!(noisy.1 > 200 && (4.5..5.5).contains(&ratio), "{ratio} times, {} readings", noisy.1);
}

#[test]
fn drifting_detector_is_off_by_what_the_truth_says() {
    let config = busy(1, 64, 6 * DAY);
    let failures = of_kind(&config, EventKind::Drift);
    let basic = SimulateConfig { faults: Faults::Basic, ..config.clone() };
    let (drifting, usual) = (of_prone(&config, &failures), of_prone(&basic, &failures));
    let mut seen = 0;
    for failure in &failures {
        let id = failure.sensor_id.as_ref().unwrap();
        let rate = failure.size.unwrap();
        assert!((0.2..=0.6).contains(&rate.abs()));
        for ((time, value), (_, right)) in drifting[id].iter().zip(&usual[id]).filter(|((at, _), _)| failure.holds(*at))
        {
            let (Some(speed), Some(right)) = (value["speed_kmh"].as_f64(), right["speed_kmh"].as_f64()) else {
                continue;
            };
            let expected = right * (1.0 + rate / 100.0 * (time - failure.from_micros) as f64 / HOUR as f64);
            assert!((speed - expected).abs() < 0.2, "{id}: {speed} and not {expected}");
            seen += 1;
        }
    }
    assert!(seen > 1000, "{seen} readings");
}

#[test]
fn wrong_clock_stamps_by_what_the_truth_says_and_jumps_otherwise() {
    let config = busy(1, 64, 5 * DAY);
    let failures = of_kind(&config, EventKind::Clock);
    let (mut constant, mut jumping) = (0, BTreeSet::new());
    for (id, readings) in of_prone(&config, &failures) {
        for (time, value) in readings {
            let stamp = chrono::DateTime::parse_from_rfc3339(value["observed_at"].as_str().unwrap()).unwrap();
            let ahead = stamp.timestamp_micros() - time;
            let failure = failures.iter().find(|one| one.sensor_id.as_deref() == Some(&id) && one.holds(time));
            match failure.map(|failure| failure.size) {
                None => assert_eq!(ahead, 0, "{id} is right at {time}"),
                Some(Some(minutes)) => {
                    assert_eq!(ahead, minutes as i64 * MINUTE, "{id} at {time}");
                    assert!((2.0..=15.0).contains(&minutes.abs()));
                    constant += 1;
                }
                Some(None) => {
                    assert!(ahead.abs() <= 5 * MINUTE);
                    jumping.insert(ahead);
                }
            }
        }
    }
    assert!(constant > 100 && jumping.len() > 100, "{constant} of a constant error, {} errors", jumping.len());
}

#[test]
fn detector_that_duplicates_sends_half_of_its_readings_again() {
    let config = busy(1, 64, 4 * DAY);
    let failures = of_kind(&config, EventKind::Duplicate);
    let failing = |id: &[u8], time: i64| {
        failures.iter().any(|one| one.sensor_id.as_deref().unwrap().as_bytes() == id && one.holds(time))
    };
    let clocks = of_kind(&config, EventKind::Clock);
    let (mut seen, mut first, mut again) = (BTreeSet::new(), 0, 0);
    for reading in Readings::new(&config).unwrap() {
        let Ok(value) = serde_json::from_slice::<Value>(&reading.value) else { continue };
        // A clock that jumps may write one time twice.
        if clocks.iter().any(|one| one.sensor_id.as_deref().unwrap().as_bytes() == reading.key) {
            continue;
        }
        let time = reading.timestamp_ms * 1000;
        if seen.insert(reading.value.clone()) {
            first += usize::from(failing(&reading.key, time));
            continue;
        }
        again += 1;
        assert!(failing(&reading.key, time), "{value} was sent twice");
        // Five readings are at hand, which may have one between them that was missing.
        let stamp = chrono::DateTime::parse_from_rfc3339(value["observed_at"].as_str().unwrap()).unwrap();
        let age = time - stamp.timestamp_micros();
        assert!((0..=5 * MINUTE).contains(&age), "{age} us old");
    }
    let part = f64::from(again) / first as f64;
    assert!(first > 300 && (0.4..0.6).contains(&part), "{again} of {first} sent again");
}

#[test]
fn partitions_hold_together_what_the_city_sends() {
    let config = busy(2, 16, 12 * HOUR);
    let mut by_partition: Vec<Vec<Reading>> = vec![Vec::new(); 4];
    for reading in Readings::new(&config).unwrap() {
        by_partition[partition_of_key(&reading.key, 4) as usize].push(reading);
    }
    for (number, expected) in (0..).zip(by_partition) {
        let found: Vec<Reading> = Readings::of_partition(&config, number).unwrap().collect();
        assert_eq!(found, expected);
    }
}

/// Values of a source's only partition from an offset on, to its end.
fn values_from(source: &mut SimulateSource, offset: i64) -> Vec<Vec<u8>> {
    source.seek(Partition { topic: 0, number: 0 }, SeekTo::Offset(offset)).unwrap();
    let mut values = Vec::new();
    loop {
        match source.poll(Duration::ZERO).unwrap().unwrap() {
            SourceEvent::Batch(batch) => {
                let Payload::Raw(rows) = &batch.payload else { panic!("not raw") };
                values.extend((0..rows.len()).map(|at| rows.row(at).value.unwrap().to_vec()));
            }
            SourceEvent::End(_) => return values,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn city_read_again_from_any_offset_goes_on_with_the_same_readings() {
    let config = SimulateConfig { seed: 3, partitions: 1, ..busy(2, 16, 12 * HOUR) };
    let mut source = SimulateSource::open(config, Arc::new(|| 0)).unwrap();
    source.poll(Duration::ZERO).unwrap();
    let all = values_from(&mut source, 0);
    let again = all.len() - all.iter().collect::<BTreeSet<_>>().len();
    assert!(again > 20, "{again} readings were sent again");
    for offset in [all.len() - 1, 5000, 1] {
        assert!(values_from(&mut source, offset as i64) == all[offset..], "from {offset}");
    }
}

#[test]
fn links_lead_along_the_corridors_and_over_junction_and_ring() {
    let config = city(5, 24, DAY);
    let (sites, links) = (sites(&config), links(&config));
    let direction: BTreeMap<&str, Direction> =
        sites.iter().map(|site| (site.sensor_id.as_str(), site.direction)).collect();
    let between: Vec<_> = links.iter().filter(|link| link.from_id[..2] != link.to_id[..2]).collect();
    // Three corridors in, two out: each end leads to each start, and the ring from a corridor to the next.
    assert_eq!((links.len() - between.len(), between.len()), (5 * 23, 3 * 2 + 2));
    assert!(links.iter().filter(|link| link.from_id[..2] == link.to_id[..2]).all(|link| link.metres == 500));
    for link in between {
        let from = (direction[link.from_id.as_str()], direction[link.to_id.as_str()]);
        assert_eq!(from, (Direction::Inbound, Direction::Outbound), "{link:?}");
        assert!((1000..20_000).contains(&link.metres), "{link:?}");
    }
    // Detectors in a row are 500 m apart on the map as well; one of five decimals is a metre.
    for pair in sites.windows(2).filter(|pair| pair[0].corridor == pair[1].corridor) {
        let north = (pair[1].latitude - pair[0].latitude) * 111_200.0;
        let east = (pair[1].longitude - pair[0].longitude) * 65_400.0;
        assert!((f64::sqrt(north * north + east * east) - 500.0).abs() < 3.0, "{pair:?}");
    }
    assert!(arterial_connectors::simulate::links(&city(1, 64, DAY)).iter().all(|link| link.metres == 500));
}

#[test]
fn city_out_of_range_is_refused_by_name() {
    let wrong = [
        (city(0, 64, DAY), "simulate.corridors: 0 is not within 1 and 100"),
        (city(101, 64, DAY), "simulate.corridors: 101"),
        (city(100, 1001, DAY), "simulate.detectors: 1001 is not within 2 and 1000"),
    ];
    for (config, message) in wrong {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
