//! How fast linear models learn, and how well, beside those of River: the same rows and features, one model per sensor, one
//! core each, one after the other in one run. `make bench-river` runs it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

#[path = "../support/data.rs"]
mod data;
#[path = "../support/figures.rs"]
mod figures;
mod samples;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arterial::stages::predict::online::linear_predictor::HorizonModel;
use arterial::stages::predict::online::{LinearPredictor, OnlineLinearParams};
use arterial::stages::predict::{Loss, OnlineLinearSettings, OnlinePredictor, Predictor, Start};
use comfy_table::Table;
use serde::Deserialize;

use crate::data::data_file;
use crate::figures::{Figure, write_figures};
use crate::samples::{AHEAD, SCORED_FROM, Samples, columns};

/// What River's models are compared with.
const OURS: &str = "ours";

/// What was measured of one kind of model.
#[derive(Debug, Clone, Deserialize)]
struct Measured {
    /// What was set.
    set: String,
    samples_per_s: f64,
    mae: f64,
    labels: u64,
}

fn main() -> Result<()> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/river/bin/python");
    if !python.exists() {
        eprintln!("skipped: `{}` is missing; `make bench-river` makes it, with the network", python.display());
        return Ok(());
    }
    let steps = std::env::var("ARTERIAL_BENCH_STEPS").map_or(Ok(4_000), |text| text.parse::<usize>())?;
    ensure!(steps > SCORED_FROM + AHEAD, "ARTERIAL_BENCH_STEPS {steps}: scored are windows from {SCORED_FROM} on");
    let samples = Samples::read(&data_file("metr_la_60/speed_mph.csv")?, steps)?;
    let file = tempfile::NamedTempFile::new()?;
    samples.write(file.path())?;
    let ours = measure(&samples)?;
    let theirs = river(&python, file.path())?;
    for (name, river) in &theirs {
        ensure!(river.labels == ours.labels, "{name} was scored on {} labels, ours on {}", river.labels, ours.labels);
    }
    report(&ours, &theirs)
}

/// The engine's models, through the interface that every model has.
fn measure(samples: &Samples) -> Result<Measured> {
    let settings = OnlineLinearSettings {
        features: None,
        forgetting: 0.999,
        loss: Loss::Huber,
        scale: 100.0,
        initial_covariance: 1.0,
        ridge: 1.0,
        bias: true,
        start: Start::Persistence,
        huber_delta: 3.0,
        trace_max: None,
    };
    let width = columns().len();
    let params = OnlineLinearParams::new(&settings, vec![settings.scale; width], Some(0), 0)?;
    let model = HorizonModel { params, columns: (0..width).collect() };
    let mut model = LinearPredictor::new("predict.speed", vec![model]);
    model.grow(samples.sensors);
    let mut forecasts = Vec::new();
    let mut spent = Duration::ZERO;
    for (step, features) in samples.features.iter().enumerate() {
        let mut made = vec![vec![f64::NAN; samples.sensors]];
        let started = Instant::now();
        if step >= AHEAD {
            model.learn_many(0, &samples.features[step - AHEAD], &samples.labels[step]);
        }
        model.predict_many(features, &mut made);
        spent += started.elapsed();
        forecasts.append(&mut made);
    }
    let (mut sum, mut labels) = (0.0, 0);
    for (forecasts, known) in forecasts.iter().zip(&samples.labels[AHEAD..]).skip(SCORED_FROM) {
        for error in forecasts.iter().zip(known).map(|(forecast, label)| (forecast - label).abs()) {
            if error.is_finite() {
                (sum, labels) = (sum + error, labels + 1);
            }
        }
    }
    let learned = model.version(0) as f64;
    let set = format!("forgetting {}, loss huber, scale {}", settings.forgetting, settings.scale);
    Ok(Measured { set, samples_per_s: learned / spent.as_secs_f64(), mae: sum / labels as f64, labels })
}

fn river(python: &Path, file: &Path) -> Result<BTreeMap<String, Measured>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/river/river_models.py");
    // One core: the matrices are small, but their library would start a thread on each.
    let one = [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")];
    let ran = Command::new(python).arg(script).arg(file).envs(one).output().context("cannot run River")?;
    ensure!(ran.status.success(), "River: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(serde_json::from_slice(&ran.stdout)?)
}

fn report(ours: &Measured, theirs: &BTreeMap<String, Measured>) -> Result<()> {
    let mut table = Table::new();
    table.set_header(["model", "set", "samples/s on one core", "MAE, mph", "labels"]);
    let mut figures = Vec::new();
    for (name, measured) in std::iter::once((OURS, ours)).chain(theirs.iter().map(|(name, one)| (name.as_str(), one))) {
        table.add_row([
            name.to_owned(),
            measured.set.clone(),
            format!("{:.0}", measured.samples_per_s),
            format!("{:.3}", measured.mae),
            measured.labels.to_string(),
        ]);
        figures.push(Figure::new(format!("river.{name}.samples_per_s"), measured.samples_per_s, "samples/s"));
        figures.push(Figure::new(format!("river.{name}.mae"), measured.mae, "mph"));
    }
    println!("{table}");
    let best = theirs.iter().min_by(|one, other| one.1.mae.total_cmp(&other.1.mae));
    let fastest = theirs.iter().max_by(|one, other| one.1.samples_per_s.total_cmp(&other.1.samples_per_s));
    for (which, peer) in [("best", best), ("fastest", fastest)] {
        let (name, peer) = peer.context("River measured no model")?;
        let (rate, mae) = (ours.samples_per_s / peer.samples_per_s, ours.mae / peer.mae);
        println!("to the {which} of River's, {name}: {rate:.1} times the samples per second, {mae:.3} of the MAE");
        figures.push(Figure::new(format!("river.{which}.rate_ratio"), rate, "1"));
        figures.push(Figure::new(format!("river.{which}.mae_ratio"), mae, "1"));
    }
    let path = write_figures("bench.json", &figures)?;
    println!("written to {}", path.display());
    Ok(())
}
