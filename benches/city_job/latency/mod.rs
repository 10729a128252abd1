//! How soon a forecast is seen: 50,000 readings per second for a minute, commits every 100 ms, by Arterial and by what
//! users would pick instead. Latency runs from the broker's time of the record that closes a window to the receipt of
//! the forecasts of that window by a reader of committed records on the same machine.
//!
//! Two closing records are told apart. `own`: the one of the sensor's own partition, which is all that a watermark per
//! partition waits for. `all`: the last one of all partitions, which an engine with one watermark has to wait for.

mod closing;
mod engine;
mod load;
mod probe;

use anyhow::{Result, ensure};
use arterial_connectors::kafka::{CreateTopic, ensure_topic};
use comfy_table::Table;

pub(crate) use engine::{CHILD, run as run_child};

use self::engine::Running;
use self::probe::{Probe, Seen};
use crate::figures::{Figure, write_figures};
use crate::peers::{Engine, Peers, engines, peers, reset_topics};
use crate::setting::{PARTITIONS, broker, connection, number};

/// Readings of each detector: a minute at the rate of the load.
const ROUNDS: usize = 600;
/// Windows that are left out at the start, while virtual machines and caches warm up.
const WARM_UP_WINDOWS: usize = 15;
/// Readings of each detector in a first run, for the broker to warm up: half a minute.
const WARM_UP_ROUNDS: usize = 300;

/// Latencies of one engine, milliseconds, sorted.
struct Latencies {
    engine: Engine,
    forecasts: usize,
    own: Vec<i64>,
    all: Vec<i64>,
}

/// Measures, prints a table and writes `target/bench.json`.
pub(crate) fn measure() -> Result<()> {
    let peers = peers()?;
    let rounds = number("ARTERIAL_BENCH_ROUNDS", ROUNDS)?;
    let (_broker, brokers) = broker()?;
    let mut all = Vec::new();
    let engines = engines()?;
    // Not counted: a broker that was just started compiles itself, which would be charged to whoever comes first.
    measure_one(&brokers, &peers, engines[0], WARM_UP_ROUNDS, "warm-up")?;
    for engine in engines {
        let latencies = measure_one(&brokers, &peers, engine, rounds, "latency")?;
        eprintln!(
            "{}: own {}, all {} ms",
            engine.name,
            middle_and_high(&latencies.own),
            middle_and_high(&latencies.all)
        );
        all.push(latencies);
    }
    println!("{}", table(&all));
    println!("written to {}", write_figures("bench.json", &figures(&all))?.display());
    Ok(())
}

fn measure_one(brokers: &str, peers: &Peers, engine: Engine, rounds: usize, name: &str) -> Result<Latencies> {
    let topic =
        format!("{name}-{}-{}", engine.figure.trim_end_matches(['.', '_']).replace('.', "-"), std::process::id());
    let config = [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into();
    let create = CreateTopic { partitions: PARTITIONS.unsigned_abs(), replication: None, config };
    ensure_topic(&connection(brokers), &topic, Some(&create))?;
    reset_topics(brokers)?;
    let running = Running::start(engine, peers, brokers, &topic, rounds)?;
    let probe = Probe::start(brokers, &running.forecasts)?;
    load::produce(brokers, &topic, rounds)?;
    let seen = probe.finish()?;
    running.stop()?;
    latencies(engine, &closing::read(brokers, &topic)?, &seen)
}

/// Brings forecasts and the records that closed their windows together.
fn latencies(engine: Engine, closing: &closing::Closing, seen: &[Seen]) -> Result<Latencies> {
    let mut ends: Vec<i64> = seen.iter().map(|seen| seen.window_end_ms).collect();
    ends.sort_unstable();
    ends.dedup();
    ensure!(ends.len() > WARM_UP_WINDOWS, "{} gave forecasts of {} windows only", engine.name, ends.len());
    let from = ends[WARM_UP_WINDOWS];
    let (mut own, mut all) = (Vec::new(), Vec::new());
    for seen in seen.iter().filter(|seen| seen.window_end_ms >= from) {
        own.push(seen.seen_ms - closing.own(&seen.sensor, seen.window_end_ms)?);
        all.push(seen.seen_ms - closing.last(seen.window_end_ms)?);
    }
    own.sort_unstable();
    all.sort_unstable();
    Ok(Latencies { engine, forecasts: own.len(), own, all })
}

/// The value below which so many parts of a hundred lie.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn middle_and_high(sorted: &[i64]) -> String {
    format!("{} / {}", percentile(sorted, 50), percentile(sorted, 99))
}

fn table(all: &[Latencies]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["engine", "own, p50 / p99, ms", "all, p50 / p99, ms", "forecasts"]);
    for latencies in all {
        table.add_row([
            latencies.engine.name.to_owned(),
            middle_and_high(&latencies.own),
            middle_and_high(&latencies.all),
            latencies.forecasts.to_string(),
        ]);
    }
    table
}

fn figures(all: &[Latencies]) -> Vec<Figure> {
    let of = |latencies: &Latencies| {
        let name = latencies.engine.figure;
        [("own", &latencies.own), ("all", &latencies.all)]
            .into_iter()
            .flat_map(move |(closing, sorted)| {
                [50, 99].map(|percent| {
                    let figure = format!("{name}latency_{closing}_p{percent}_ms");
                    Figure::new(figure, percentile(sorted, percent) as f64, "ms")
                })
            })
            .collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}
