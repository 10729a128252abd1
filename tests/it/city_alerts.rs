//! The shipped pipeline over the simulated city: its alerts against what was true.

use std::path::Path;
use std::sync::Arc;

use arterial::observe::Metrics;
use arterial::runtime::{Connect, Pipeline, RunOptions, simulate_config};
use arterial::spec::{PipelineFile, PipelinePlan, Registry};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{MemoryBroker, MemoryLedger, MemoryLedgerConfig};
use arterial_connectors::simulate::{Event, EventKind, SimulateConfig, SimulateSource, events, sites};
use arterial_connectors::source::{Source, SourceError, Until};
use serde_json::Value;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1440 * MINUTE;
const SINKS: [&str; 4] = ["alerts", "late", "dead_letter", "control"];

/// The city at one end, memory at the other.
struct Ends {
    config: SimulateConfig,
    broker: MemoryBroker,
}

impl Connect for Ends {
    fn source(&self, _: &str, _: Until) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(SimulateSource::open(self.config.clone(), Arc::new(|| 0))?))
    }

    fn ledger(&self, slot: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        Ok(Box::new(MemoryLedger::open(&self.broker, MemoryLedgerConfig::new("city", slot, &SINKS))?))
    }
}

fn shipped() -> PipelinePlan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let text = std::fs::read_to_string(folder.join("city-simulated.yaml")).unwrap();
    let file = PipelineFile::parse("city-simulated.yaml", &text, &|_| None, &Registry::standard());
    file.plan(&folder, &[].into()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// An alert that was opened.
struct Opened {
    rule: String,
    sensor_id: String,
    micros: i64,
}

fn opened(ends: &Ends) -> Vec<Opened> {
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let records = ends.broker.committed_records("alerts").unwrap();
    let values = records.iter().map(|record| parse(record.value.as_deref().unwrap()));
    let opened = values.filter(|value| value["state"] == "opened").map(|value| {
        let (rule, sensor_id) = value["alert_key"].as_str().unwrap().split_once('/').unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(value["observed_at"].as_str().unwrap()).unwrap();
        Opened { rule: rule.to_owned(), sensor_id: sensor_id.to_owned(), micros: time.timestamp_micros() }
    });
    opened.collect()
}

/// Alerts of a rule that tell events of a kind: those told, all, and the alerts that neither these nor others explain.
struct Told {
    told: usize,
    all: usize,
    unexplained: usize,
}

/// What failed is told on the detector itself, from its beginning to ten minutes after its end.
fn failures(alerts: &[Opened], truth: &[Event], rule: &str, kind: EventKind, minutes_min: i64) -> Told {
    let alerts: Vec<&Opened> = alerts.iter().filter(|alert| alert.rule == rule).collect();
    let tells = |alert: &Opened, event: &Event| {
        event.sensor_id.as_deref() == Some(&alert.sensor_id)
            && (event.from_micros..event.to_micros + 10 * MINUTE).contains(&alert.micros)
    };
    let long = |event: &&Event| event.kind == kind && event.to_micros - event.from_micros >= minutes_min * MINUTE;
    let events: Vec<&Event> = truth.iter().filter(long).collect();
    let told = events.iter().filter(|event| alerts.iter().any(|alert| tells(alert, event))).count();
    // A clock that is wrong makes a detector silent: its readings are dead letters, or late.
    let explains = |event: &Event| event.kind == kind || (rule == "silent" && event.kind == EventKind::Clock);
    let explained = |alert: &Opened| truth.iter().any(|event| explains(event) && tells(alert, event));
    let unexplained = alerts.iter().filter(|alert| !explained(alert)).count();
    Told { told, all: events.len(), unexplained }
}

/// An incident is told by an alert from its beginning to five minutes after its end, up to 1.6 km upstream and 0.8 km downstream.
/// Up to 45 minutes after it, 6 km upstream and 1 km downstream it explains alerts that do not tell it.
fn incidents(alerts: &[Opened], truth: &[Event], config: &SimulateConfig, from_micros: i64) -> Told {
    let sites = sites(config);
    let place = |id: &str| sites.iter().position(|site| site.sensor_id == id).unwrap() as i64;
    let scored = |alert: &&Opened| alert.rule == "incident" && alert.micros >= from_micros;
    let alerts: Vec<&Opened> = alerts.iter().filter(scored).collect();
    let near = |alert: &Opened, event: &Event, minutes: i64, upstream: i64, downstream: i64| {
        let id = event.sensor_id.as_deref().unwrap();
        let metres = (place(&alert.sensor_id) - place(id)) * 500;
        alert.sensor_id[..2] == id[..2]
            && (-upstream..=downstream).contains(&metres)
            && (event.from_micros..=event.to_micros + minutes * MINUTE).contains(&alert.micros)
    };
    let incident = |event: &&Event| event.kind == EventKind::Incident && event.from_micros >= from_micros;
    let events: Vec<&Event> = truth.iter().filter(incident).collect();
    let told = events.iter().filter(|event| alerts.iter().any(|alert| near(alert, event, 5, 1600, 800))).count();
    let explained = |alert: &Opened| events.iter().any(|event| near(alert, event, 45, 6000, 1000));
    let unexplained = alerts.iter().filter(|alert| !explained(alert)).count();
    Told { told, all: events.len(), unexplained }
}

#[test]
fn alerts_of_the_city_tell_what_was_true() {
    let plan = shipped();
    let config = simulate_config(plan.source.simulate.as_ref().unwrap());
    let broker = MemoryBroker::new();
    SINKS.iter().for_each(|sink| broker.create_topic(sink, 1).unwrap());
    let ends = Arc::new(Ends { config: config.clone(), broker });
    let options = RunOptions { until: Until::Latest, metrics: Arc::new(Metrics::default()), ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pipeline = Pipeline::new(Arc::new(plan), ends.clone(), options);
    runtime.block_on(pipeline.run(std::future::pending())).unwrap();

    let (alerts, truth) = (opened(&ends), events(&config).unwrap());
    // Before, nobody knows what is usual.
    let scored_from = config.start_micros + 7 * DAY;
    let days = 21.0;
    let of = incidents(&alerts, &truth, &config, scored_from);
    let false_per_day = of.unexplained as f64 / days;
    println!("incidents: {} of {} told, {false_per_day:.1} false a day", of.told, of.all);
    // A third is at an hour when what is left of the road is enough for all, or in a queue that stood there before.
    assert!(of.all >= 20 && of.told * 10 >= of.all * 5, "{} of {} incidents", of.told, of.all);
    assert!(false_per_day < 8.0, "{false_per_day} false alerts a day");
    let rules = [("silent", EventKind::Silent, 25), ("stuck", EventKind::Stuck, 45), ("noisy", EventKind::Noisy, 60)];
    for (rule, kind, minutes) in rules {
        let of = failures(&alerts, &truth, rule, kind, minutes);
        println!("{rule}: {} of {} told, {} false", of.told, of.all, of.unexplained);
        assert!(of.all >= 40 && of.told * 10 >= of.all * 9, "{rule}: {} of {}", of.told, of.all);
        assert!(of.unexplained <= of.all / 5, "{rule}: {} are of no such failure", of.unexplained);
    }
}

#[test]
fn links_that_ship_with_the_city_are_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = |what: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.current_dir(root).args(["simulate", "--what", what, "pipelines/city-simulated.yaml"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shipped = std::fs::read_to_string(root.join("pipelines/city-simulated-links.csv")).unwrap();
    assert_eq!(written("links"), shipped);
    let sites = written("sites");
    let mut lines = sites.lines();
    let header = "sensor_id,segment_id,position_km,lanes,free_flow_kmh,corridor,direction,latitude,longitude";
    assert_eq!(lines.next(), Some(header));
    assert_eq!(lines.count(), 96);
    let events = written("events");
    for kind in ["incident", "rain", "stadium_arrival", "stadium_departure", "noisy", "drift", "clock", "duplicate"] {
        assert!(events.contains(&format!("\"kind\":\"{kind}\"")), "no {kind}");
    }
}
