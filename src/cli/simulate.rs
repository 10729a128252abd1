//! `arterial simulate`: what the simulated corridor or city of a pipeline would send, and what is true of it.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use arterial_connectors::simulate::{Event, EventKind, Readings, SimulateConfig, events, links, sites};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::load::load_plan_with_tables;
use super::usage::UsageError;
use crate::runtime::simulate_config;
use crate::vocab::EventTime;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Write what the simulated corridor or city of a pipeline sends, and what is true of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial simulate pipelines/congestion-simulated.yaml > readings.ndjson\n  \
    arterial simulate --what events pipelines/congestion-simulated.yaml\n  \
    arterial simulate --what weather pipelines/congestion-simulated.yaml > weather.csv\n  \
    arterial simulate --what links pipelines/city-simulated.yaml > links.csv\n\n\
    The same file gives the same bytes everywhere. Readings come as they are sent: missing, stuck and garbled ones among \
    them. No network is touched.")]
pub struct SimulateArgs {
    /// The pipeline file, with a `simulate` source.
    pub pipeline: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t = What::Readings)]
    pub what: What,
}

/// What is written of a corridor or a city.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A line per reading, as JSON.
    Readings,
    /// Incidents, showers, matches and failures of detectors as they were, a line of JSON each.
    Events,
    /// Detectors and their places, as CSV; in a city also their corridor, its direction, and coordinates.
    Sites,
    /// Which detector's traffic comes to which next, and how far that is, as CSV: a road graph for `neighbours`.
    Links,
    /// Rain of each hour, as CSV.
    Weather,
}

/// Runs the verb.
///
/// # Errors
/// A file that does not check or has no simulated source, or output that cannot be written.
pub fn simulate(args: &SimulateArgs) -> Result<()> {
    let plan = load_plan_with_tables(&args.pipeline, &BTreeMap::new())?;
    let simulate = plan.source.simulate.as_ref().ok_or(UsageError::NotSimulated)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    match write(args.what, &simulate_config(simulate), &mut out) {
        // Whoever read it has had enough, as `head` does.
        Err(error) if is_closed(&error) => Ok(()),
        written => written,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn write(what: What, config: &SimulateConfig, out: &mut impl Write) -> Result<()> {
    match what {
        What::Readings => readings(config, out)?,
        What::Events => events(config)?.iter().try_for_each(|event| writeln!(out, "{}", event_json(event)))?,
        What::Sites => write_sites(config, out)?,
        What::Links => {
            writeln!(out, "from_id,to_id,metres")?;
            let mut links = links(config).into_iter();
            links.try_for_each(|link| writeln!(out, "{},{},{}", link.from_id, link.to_id, link.metres))?;
        }
        What::Weather => weather(config, out)?,
    }
    Ok(out.flush()?)
}

fn readings(config: &SimulateConfig, out: &mut impl Write) -> Result<()> {
    let mut readings = Readings::new(config)?;
    let mut value = Vec::new();
    while readings.next_into(&mut value, i64::MAX).is_some() {
        value.push(b'\n');
        out.write_all(&value)?;
    }
    Ok(())
}

/// A corridor that is alone needs no name and no place on a map.
fn write_sites(config: &SimulateConfig, out: &mut impl Write) -> Result<()> {
    let city = config.corridors > 1;
    let more = if city { ",corridor,direction,latitude,longitude" } else { "" };
    writeln!(out, "sensor_id,segment_id,position_km,lanes,free_flow_kmh{more}")?;
    for site in sites(config) {
        let (id, segment, at) = (site.sensor_id, site.segment_id, site.position_km);
        write!(out, "{id},{segment},{at},{},{}", site.lanes, site.free_flow_kmh)?;
        if city {
            let (corridor, direction) = (site.corridor, site.direction.name());
            write!(out, ",{corridor},{direction},{},{}", site.latitude, site.longitude)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn event_json(event: &Event) -> serde_json::Value {
    json!({
        "kind": event.kind.name(),
        "sensor_id": event.sensor_id,
        "from": EventTime(event.from_micros).to_string(),
        "to": EventTime(event.to_micros).to_string(),
        "size": event.size,
    })
}

/// A row at the end of each hour: mm that fell in it. What a gauge would have told, and a `lookup` may read.
fn weather(config: &SimulateConfig, out: &mut impl Write) -> Result<()> {
    let showers: Vec<Event> = events(config)?.into_iter().filter(|event| event.kind == EventKind::Rain).collect();
    writeln!(out, "at,rain_mm")?;
    let first = config.start_micros.div_euclid(MICROS_PER_HOUR) + 1;
    let last = (config.start_micros + config.length_micros.unwrap_or(0)).div_euclid(MICROS_PER_HOUR);
    for end in (first..=last).map(|hour| hour * MICROS_PER_HOUR) {
        let within = |shower: &Event| {
            let (from, to) = (shower.from_micros.max(end - MICROS_PER_HOUR), shower.to_micros.min(end));
            shower.size.unwrap_or(0.0) * (to - from).max(0) as f64 / MICROS_PER_HOUR as f64
        };
        // An empty sum would be minus zero.
        let fell = showers.iter().map(within).fold(0.0, |sum, part| sum + part);
        writeln!(out, "{},{fell:.2}", EventTime(end))?;
    }
    Ok(())
}
