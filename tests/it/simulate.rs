//! The simulated corridor: the same bytes from the same seed, queues that grow upstream in rush hours, failing sensors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, partition_of_key};
use arterial_connectors::simulate::{
    Event, EventKind, Reading, Readings, SimulateConfig, SimulateSource, events, sites,
};
use arterial_connectors::source::{SeekTo, Source, SourceError, SourceEvent};

const MINUTES_PER_DAY: usize = 1440;

fn hours(count: i64) -> SimulateConfig {
    SimulateConfig { length_micros: Some(count * 3_600_000_000), ..SimulateConfig::default() }
}

fn digest(config: &SimulateConfig) -> String {
    let mut hasher = blake3::Hasher::new();
    for reading in Readings::new(config).unwrap() {
        hasher.update(&reading.key).update(&reading.value).update(&reading.timestamp_ms.to_le_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[test]
fn same_seed_gives_the_same_bytes_on_every_platform() {
    // A literal: a platform, compiler or library that computes anything else is found here.
    assert_eq!(digest(&hours(10)), "b8c4ae9f5b604af1");
    assert_ne!(digest(&SimulateConfig { seed: 43, ..hours(10) }), "b8c4ae9f5b604af1");
}

#[test]
fn reading_is_json_stamped_at_the_end_of_its_interval() {
    let first = Readings::new(&hours(1)).unwrap().next().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&first.value).unwrap();
    assert_eq!(first.key, b"L001");
    assert_eq!(value["sensor_id"], "L001");
    assert_eq!(value["observed_at"], "2026-03-02T00:00:00Z");
    assert_eq!(first.timestamp_ms, 1_772_409_600_000);
    assert!(value["speed_kmh"].as_f64().unwrap() > 60.0);
    assert_eq!(value["flow_veh_h"].as_i64().unwrap() % 60, 0);
    assert!(value["occupancy"].as_f64().unwrap() < 10.0);
    let times: Vec<i64> = Readings::new(&hours(1)).unwrap().map(|reading| reading.timestamp_ms).collect();
    assert!(times.is_sorted());
    assert_eq!(*times.last().unwrap(), 1_772_409_600_000 + 59 * 60_000);
}

#[test]
fn partitions_hold_together_what_the_corridor_sends() {
    let config = hours(3);
    let mut by_partition: Vec<Vec<Reading>> = vec![Vec::new(); 4];
    for reading in Readings::new(&config).unwrap() {
        by_partition[partition_of_key(&reading.key, 4) as usize].push(reading);
    }
    for (number, expected) in (0..).zip(by_partition) {
        assert!(expected.len() > 1000);
        let found: Vec<Reading> = Readings::of_partition(&config, number).unwrap().collect();
        assert_eq!(found, expected);
    }
}

/// A week's speeds as shares of free flow, by minute and detector; NaN where there is none.
struct Week {
    ratios: Vec<Vec<f64>>,
    garbled: usize,
    sentinels: usize,
    readings: usize,
    /// Most readings in a row of a detector that are equal in all values.
    repeated: Vec<usize>,
}

/// Read once for all tests.
static WEEK: LazyLock<Week> = LazyLock::new(week);

fn week() -> Week {
    let config = SimulateConfig::default();
    let sites = sites(&config);
    let index: BTreeMap<&str, usize> =
        sites.iter().enumerate().map(|(at, site)| (site.sensor_id.as_str(), at)).collect();
    let mut week = Week {
        ratios: vec![vec![f64::NAN; sites.len()]; 7 * MINUTES_PER_DAY],
        garbled: 0,
        sentinels: 0,
        readings: 0,
        repeated: vec![0; sites.len()],
    };
    let mut last = vec![(Vec::new(), 0); sites.len()];
    for reading in Readings::new(&config).unwrap() {
        week.readings += 1;
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&reading.value) else {
            week.garbled += 1;
            continue;
        };
        let at = index[value["sensor_id"].as_str().unwrap()];
        // The values behind the time stamp.
        let tail = reading.value[reading.value.len() - 50..].to_vec();
        last[at] = if last[at].0 == tail { (tail, last[at].1 + 1) } else { (tail, 1) };
        week.repeated[at] = week.repeated[at].max(last[at].1);
        let minute = (reading.timestamp_ms - config.start_micros / 1000) / 60_000;
        match value["speed_kmh"].as_f64() {
            Some(-99.0) => week.sentinels += 1,
            Some(speed) => week.ratios[minute as usize][at] = speed / sites[at].free_flow_kmh,
            None => {}
        }
    }
    week
}

impl Week {
    /// Mean over the last five minutes.
    fn smooth(&self, minute: usize, at: usize) -> f64 {
        let known: Vec<f64> = (minute.saturating_sub(4)..=minute)
            .map(|one| self.ratios[one][at])
            .filter(|ratio| !ratio.is_nan())
            .collect();
        known.iter().sum::<f64>() / known.len() as f64
    }

    /// How often a congestion alert with the shipped thresholds would open, per detector, on one day.
    fn openings(&self, day: usize) -> Vec<usize> {
        let detectors = self.ratios[0].len();
        let openings = |at| {
            let (mut open, mut count) = (false, 0);
            for minute in day * MINUTES_PER_DAY..(day + 1) * MINUTES_PER_DAY {
                let ratio = self.smooth(minute, at);
                if !open && ratio < 0.45 {
                    (open, count) = (true, count + 1);
                } else if open && ratio > 0.6 {
                    open = false;
                }
            }
            count
        };
        (0..detectors).map(openings).collect()
    }

    /// When a detector's speed first falls below 60 % of free flow.
    fn first_slow(&self, day: usize, at: usize) -> Option<usize> {
        (day * MINUTES_PER_DAY..(day + 1) * MINUTES_PER_DAY).find(|minute| self.smooth(*minute, at) < 0.6)
    }
}

#[test]
fn congestion_comes_on_weekdays_in_rush_hours_and_builds_up_upstream() {
    let week = &*WEEK;
    for day in 0..5 {
        let openings = week.openings(day);
        assert!((20..=90).contains(&openings.iter().sum::<usize>()), "day {day}: {openings:?}");
        assert!(openings.iter().all(|count| *count <= 6), "day {day}: {openings:?}");
        // The lane drop stands at detector 47 (index 46); nothing congests downstream of it.
        assert_eq!(openings[48..].iter().sum::<usize>(), 0);
        let (head, tail) = (week.first_slow(day, 45).unwrap(), week.first_slow(day, 28).unwrap());
        let minutes = tail as i64 - head as i64;
        assert!((20..=90).contains(&minutes), "day {day}: slow at {head} min, 8.5 km upstream {minutes} min later");
        let hour = (head % MINUTES_PER_DAY) / 60;
        assert!((6..=9).contains(&hour) || (15..=18).contains(&hour), "day {day}: congestion began at {hour} h");
    }
    for day in 5..7 {
        assert!(week.openings(day).iter().sum::<usize>() <= 10);
    }
}

#[test]
fn traffic_flows_freely_at_night() {
    let week = &*WEEK;
    for minute in 60..180 {
        let ratios = week.ratios[minute].iter().filter(|ratio| !ratio.is_nan());
        let (sum, count) = ratios.fold((0.0, 0), |(sum, count), ratio| (sum + ratio, count + 1));
        assert!(sum / f64::from(count) > 0.95, "minute {minute}");
    }
}

#[test]
fn some_sensors_fail_as_documented() {
    let week = &*WEEK;
    let expected = 7 * MINUTES_PER_DAY * 64;
    // 0.2 % dropped everywhere, four detectors silent now and then.
    let missing = expected - week.readings;
    assert!((expected / 500..expected / 100).contains(&missing), "{missing} missing");
    assert!((30..=120).contains(&week.garbled), "{} garbled", week.garbled);
    assert!((300..=3000).contains(&week.sentinels), "{} sentinels", week.sentinels);
    let stuck = week.repeated.iter().filter(|repeated| **repeated >= 30).count();
    assert!((1..=4).contains(&stuck), "{stuck} detectors were stuck: {:?}", week.repeated);
}

fn rows_of(event: Option<SourceEvent>) -> usize {
    match event {
        Some(SourceEvent::Batch(batch)) => batch.payload.len(),
        _ => 0,
    }
}

#[test]
fn paced_source_delivers_what_is_due_by_the_clock_it_was_given() {
    let clock = Arc::new(AtomicI64::new(5_000_000));
    let shared = clock.clone();
    // 60 simulated seconds per second, one partition: 64 readings a second at most.
    let config = SimulateConfig { speed: 60.0, partitions: 1, ..hours(1) };
    let mut source = SimulateSource::open(config, Arc::new(move || shared.load(Ordering::Relaxed))).unwrap();
    source.poll(Duration::ZERO).unwrap();
    source.seek(Partition { topic: 0, number: 0 }, SeekTo::Start).unwrap();
    let first = rows_of(source.poll(Duration::ZERO).unwrap());
    assert!((55..=64).contains(&first), "{first}");
    assert!(source.poll(Duration::ZERO).unwrap().is_none());
    clock.store(5_999_999, Ordering::Relaxed);
    assert!(source.poll(Duration::ZERO).unwrap().is_none());
    clock.store(8_000_000, Ordering::Relaxed);
    let next = rows_of(source.poll(Duration::ZERO).unwrap());
    assert!((165..=192).contains(&next), "{next}");
    clock.store(100_000_000, Ordering::Relaxed);
    let mut rows = first + next;
    loop {
        match source.poll(Duration::ZERO).unwrap().unwrap() {
            SourceEvent::End(_) => break,
            event => rows += rows_of(Some(event)),
        }
    }
    assert_eq!(rows, Readings::new(&hours(1)).unwrap().count());
}

#[test]
fn unpaced_source_keeps_its_partitions_in_step() {
    let mut source = SimulateSource::open(hours(48), Arc::new(|| 0)).unwrap();
    source.poll(Duration::ZERO).unwrap();
    for number in 0..4 {
        source.seek(Partition { topic: 0, number }, SeekTo::Start).unwrap();
    }
    let mut latest = BTreeMap::new();
    loop {
        match source.poll(Duration::ZERO).unwrap().unwrap() {
            SourceEvent::Batch(batch) => {
                let Payload::Raw(rows) = &batch.payload else { panic!("not raw") };
                latest.insert(batch.partition, rows.row(rows.len() - 1).broker_ts_ms.unwrap());
            }
            SourceEvent::End(_) => break,
            other => panic!("{other:?}"),
        }
        if latest.len() == 4 {
            let spread = latest.values().max().unwrap() - latest.values().min().unwrap();
            // A batch of 1,024 rows of at least 8 detectors is about two hours.
            assert!(spread <= 4 * 3_600_000, "{spread} ms");
        }
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let default = SimulateConfig::default;
    let wrong = [
        (SimulateConfig { detectors: 1, ..default() }, "simulate.detectors: 1 is not within"),
        (SimulateConfig { every_micros: 10, ..default() }, "simulate.every: 10 us"),
        (SimulateConfig { length_micros: Some(0), ..default() }, "simulate.length"),
        (SimulateConfig { speed: f64::NAN, ..default() }, "simulate.speed: NaN"),
        (SimulateConfig { partitions: 0, ..default() }, "simulate.partitions: 0"),
        (SimulateConfig { start_micros: -1, ..default() }, "simulate.start"),
    ];
    for (config, message) in wrong {
        let Err(error) = SimulateSource::open(config, Arc::new(|| 0)) else { panic!("{message}") };
        assert!(matches!(error, SourceError::Config { .. }));
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// Two weeks with rain.
fn wet() -> SimulateConfig {
    SimulateConfig { length_micros: Some(14 * 86_400_000_000), weather: true, ..SimulateConfig::default() }
}

/// Mean of a value of the readings that a time and a detector are wanted of.
fn mean(config: &SimulateConfig, column: &str, wanted: impl Fn(i64, &str) -> bool) -> f64 {
    let values = Readings::new(config).unwrap().filter_map(|reading| {
        let value: serde_json::Value = serde_json::from_slice(&reading.value).ok()?;
        let id = value["sensor_id"].as_str()?;
        wanted(reading.timestamp_ms * 1000, id).then(|| value[column].as_f64()).flatten().filter(|value| *value >= 0.0)
    });
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

#[test]
fn what_happened_is_told_and_shows_in_the_readings() {
    let all = events(&wet()).unwrap();
    let of = |kind: EventKind| all.iter().filter(move |event| event.kind == kind).cloned().collect::<Vec<Event>>();
    for kind in [EventKind::Incident, EventKind::Rain, EventKind::Stuck, EventKind::Sentinel, EventKind::Silent] {
        assert!(!of(kind).is_empty(), "{kind:?} never happens in two weeks");
    }
    assert!(all.iter().all(|event| event.from_micros < event.to_micros));
    assert!(all.windows(2).all(|pair| pair[0].from_micros <= pair[1].from_micros));
    // A silent detector says nothing while it is, a stuck one always the same.
    let silent = of(EventKind::Silent);
    let told = mean(&wet(), "flow_veh_h", |time, id| {
        silent.iter().any(|event| event.sensor_id.as_deref() == Some(id) && event.holds(time))
    });
    assert!(told.is_nan(), "{told}");
    let stuck = of(EventKind::Stuck).remove(0);
    let speeds: std::collections::BTreeSet<String> = Readings::new(&wet())
        .unwrap()
        .filter(|reading| stuck.holds(reading.timestamp_ms * 1000))
        .filter_map(|reading| serde_json::from_slice::<serde_json::Value>(&reading.value).ok())
        .filter(|value| value["sensor_id"].as_str() == stuck.sensor_id.as_deref())
        .map(|value| value["speed_kmh"].to_string())
        .collect();
    assert_eq!(speeds.len(), 1, "{speeds:?}");
    // The road is slower behind an incident than at the same hours of other days, and slower in the rain than without.
    let behind = |event: &Event| event.sensor_id.clone().unwrap();
    let hour = |time: i64| time.rem_euclid(86_400_000_000);
    let slowed = of(EventKind::Incident).iter().any(|event| {
        let at = behind(event);
        let now = mean(&wet(), "speed_kmh", |time, id| id == at && event.holds(time));
        let usual = mean(&wet(), "speed_kmh", |time, id| {
            let same = (hour(event.from_micros)..hour(event.from_micros) + 1_800_000_000).contains(&hour(time));
            id == at && same && !event.holds(time)
        });
        now < 0.8 * usual
    });
    assert!(slowed, "no incident is felt");
    let dry = SimulateConfig { weather: false, ..wet() };
    let raining = |time: i64, _: &str| of(EventKind::Rain).iter().any(|shower| shower.holds(time));
    let (wet_speed, dry_speed) = (mean(&wet(), "speed_kmh", raining), mean(&dry, "speed_kmh", raining));
    assert!(wet_speed < 0.98 * dry_speed, "{wet_speed} {dry_speed}");
    assert!(events(&SimulateConfig { length_micros: None, ..wet() }).is_err(), "it has no end");
}

#[test]
fn verb_writes_readings_events_sites_and_weather() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = |what: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.current_dir(root).args(["simulate", "--what", what, "pipelines/congestion-simulated.yaml"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let readings = written("readings");
    assert!(readings[0].starts_with("{\"sensor_id\":\"L001\""), "{}", readings[0]);
    for line in written("events") {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(event["from"].as_str() < event["to"].as_str(), "{line}");
    }
    assert_eq!(written("sites").len(), 65);
    let weather = written("weather");
    assert_eq!(weather[0], "at,rain_mm");
    assert!(weather[1..].iter().all(|row| row.ends_with(",0.00")), "the demo is dry");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_arterial"));
    let refused = command.current_dir(root).args(["simulate", "pipelines/noise.yaml"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has no `simulate:`"));
}
