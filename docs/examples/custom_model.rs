//! A model of one's own: an exponentially weighted mean per key, `model: { custom: { name: smoothed } }`.
//! `cargo run --example custom_model`

use std::error::Error;

use arterial::{
    AdditiveForecast, FeatureMatrix, Fresh, KeyId, ModelRequest, OnlinePredictor, Pipeline, Predictor, Refusal,
    Registry, RunSummary, Snapshot, StateError, StateReader, StateWriter, from_block, to_block,
};
use serde::Deserialize;

#[path = "readings.rs"]
mod readings;

const PIPELINE: &str = r#"
version: 1
pipeline: custom-model
sources:
  loops:
    feed: { partitions: 2 }
    decode: { schema: loop-speed.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
features:
  - lags: { column: speed_mph, count: 1 }
predict:
  speed:
    target: speed_mph
    horizons: [5m, 15m]
    model: { custom: { name: smoothed, settings: { weight: 0.2 } } }
"#;

/// What the file may say under `settings:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Weight of the newest label, in (0, 1].
    weight: f64,
}

/// Running means of the labels, one per horizon and key; NaN before the first.
pub struct Smoothed {
    step: String,
    weight: f64,
    means: Vec<Vec<f64>>,
    learned: Vec<u64>,
    changed: bool,
}

impl Smoothed {
    /// Nothing learned. State goes to `step`.
    #[must_use]
    pub fn new(step: &str, weight: f64, horizons: usize) -> Self {
        let (means, learned) = (vec![Vec::new(); horizons], vec![0; horizons]);
        Self { step: step.to_owned(), weight, means, learned, changed: false }
    }
}

impl Predictor for Smoothed {
    fn predict_many(&self, _: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        for (forecasts, means) in forecasts.iter_mut().zip(&self.means) {
            forecasts.iter_mut().zip(means).for_each(|(forecast, mean)| *forecast = *mean);
        }
    }

    fn explain(&self, horizon: usize, _: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        let forecast = *self.means[horizon].get(key as usize).filter(|mean| !mean.is_nan())?;
        // No feature has a share in it.
        Some(AdditiveForecast { baseline: forecast, forecast, contributions: Vec::new() })
    }

    fn version(&self, horizon: usize) -> u64 {
        self.learned[horizon]
    }

    fn refused(&self, _: usize) -> u64 {
        0
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        if which == Snapshot::Full || self.changed {
            writer.put(&self.step, 0, to_block(&(&self.means, &self.learned)));
        }
        self.changed &= which == Snapshot::Full;
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            (self.means, self.learned) = from_block(&self.step, block, bytes)?;
        }
        Ok(())
    }
}

impl OnlinePredictor for Smoothed {
    fn grow(&mut self, keys: usize) {
        self.means.iter_mut().for_each(|means| means.resize(keys.max(means.len()), f64::NAN));
        self.changed = true;
    }

    fn learn_many(&mut self, horizon: usize, _: &FeatureMatrix, targets: &[f64]) {
        for (mean, target) in self.means[horizon].iter_mut().zip(targets).filter(|(_, target)| target.is_finite()) {
            // Not the mean and a part of the difference, which may overflow.
            *mean = if mean.is_nan() { *target } else { (1.0 - self.weight) * *mean + self.weight * target };
            self.learned[horizon] += 1;
        }
        self.changed = true;
    }

    fn forget(&mut self, keys: &[KeyId]) {
        for means in &mut self.means {
            keys.iter().for_each(|key| means[*key as usize] = f64::NAN);
        }
        self.changed = true;
    }
}

/// Checks the settings and says how the model of a partition is made.
fn smoothed(request: &ModelRequest<'_>) -> Result<Fresh<dyn OnlinePredictor>, Refusal> {
    let Settings { weight } = request.settings.read()?;
    if !(weight > 0.0 && weight <= 1.0) {
        return Err(Refusal::new(Some("weight"), format!("weight {weight} is not above 0 and at most 1")));
    }
    let horizons = request.horizons.len();
    Ok(Fresh::new(move |step| Box::new(Smoothed::new(step, weight, horizons)) as Box<_>))
}

/// The parts that this program brings along.
pub fn registry() -> Registry {
    Registry::standard().model("smoothed", smoothed)
}

/// Runs the pipeline over three hours of readings.
///
/// # Errors
/// What the pipeline could not be built or run for.
pub async fn job() -> Result<RunSummary, Box<dyn Error>> {
    let mut pipeline = Pipeline::from_yaml(PIPELINE).registry(registry()).build()?;
    let input = pipeline.input()?;
    let running = pipeline.start()?;
    for minute in 0..180 {
        input.send(readings::readings(minute)?).await?;
    }
    input.finish();
    Ok(running.end().await?)
}

/// Prints how good the model is beside persistence and the profile.
#[allow(dead_code, clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    for score in futures_executor::block_on(job())?.scores {
        let mae = score.sums.absolute / score.sums.count as f64;
        println!("{} {} min: {mae:.2} mph", score.model, score.horizon_micros / 60_000_000);
    }
    Ok(())
}
