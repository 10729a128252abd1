//! The city's readings -> the alerts that they must give, worked out one reading at a time with nothing of the engine:
//! no partitions, no watermarks, no columns. What the whole pipeline writes is compared with it.
//!
//! A detector's readings come in the order of their times, so its window is over when a reading of a later one comes.

use anyhow::{Context, Result};
use chrono::DateTime;
use serde::Deserialize;

use crate::generator::make_readings;

const WINDOW_S: i64 = 300;
/// How much later than a window's end a reading must be before the window counts as closed.
const MAX_DELAY_S: i64 = 60;
const LAGS: usize = 6;
/// Lags and bias.
const WEIGHTS: usize = LAGS + 1;
const FORGETTING: f64 = 0.999;
const SCALE: f64 = 100.0;

#[derive(Deserialize)]
#[allow(dead_code, reason = "a reading without them is malformed")]
struct Reading<'a> {
    sensor_id: &'a str,
    observed_at: &'a str,
    speed_kmh: f64,
    flow_veh_h: f64,
    occupancy: f64,
}

/// One detector: its open window, its model, its alert.
#[derive(Clone)]
struct Detector {
    window: i64,
    sum: f64,
    count: u32,
    /// Mean speeds of the last windows over 100 km/h, newest first.
    lags: [f64; LAGS],
    seen: usize,
    weights: [f64; WEIGHTS],
    covariance: [[f64; WEIGHTS]; WEIGHTS],
    open: bool,
}

impl Detector {
    fn new() -> Self {
        let mut covariance = [[0.0; WEIGHTS]; WEIGHTS];
        (0..WEIGHTS).for_each(|place| covariance[place][place] = 1.0);
        let mut weights = [0.0; WEIGHTS];
        weights[0] = 1.0;
        Self { window: i64::MIN, sum: 0.0, count: 0, lags: [0.0; LAGS], seen: 0, weights, covariance, open: false }
    }

    /// Closes the window, and says whether an alert opened (`Some(true)`) or cleared.
    fn close(&mut self) -> Option<bool> {
        if self.count == 0 {
            return None;
        }
        let speed = self.sum / f64::from(self.count) / SCALE;
        (self.sum, self.count) = (0.0, 0);
        if self.seen >= LAGS {
            self.learn(speed);
        }
        self.lags.copy_within(..LAGS - 1, 1);
        self.lags[0] = speed;
        self.seen += 1;
        if self.seen < LAGS {
            return None;
        }
        let forecast = dot(&self.weights, &self.inputs());
        let changes = if self.open { forecast > 0.60 } else { forecast < 0.45 };
        self.open ^= changes;
        changes.then_some(self.open)
    }

    fn inputs(&self) -> [f64; WEIGHTS] {
        let mut inputs = [1.0; WEIGHTS];
        inputs[..LAGS].copy_from_slice(&self.lags);
        inputs
    }

    /// Recursive least squares with forgetting.
    fn learn(&mut self, label: f64) {
        let inputs = self.inputs();
        let spread = self.covariance.map(|row| dot(&row, &inputs));
        let scale = FORGETTING + dot(&inputs, &spread);
        let error = label - dot(&self.weights, &inputs);
        for (row, gain) in spread.iter().enumerate() {
            self.weights[row] += gain / scale * error;
            for (column, other) in spread.iter().enumerate() {
                self.covariance[row][column] = (self.covariance[row][column] - gain * other / scale) / FORGETTING;
            }
        }
    }
}

fn dot(one: &[f64; WEIGHTS], other: &[f64; WEIGHTS]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// The alerts as sorted lines: detector, end of the window in milliseconds, `open` or `clear`.
pub(crate) fn due_alerts(detectors: usize, rounds: usize) -> Result<Vec<String>> {
    let mut city = vec![Detector::new(); detectors];
    let mut alerts: Vec<(i64, String)> = Vec::new();
    let mut newest = i64::MIN;
    make_readings(detectors, rounds, |_, value| {
        let Ok(reading) = serde_json::from_slice::<Reading<'_>>(value) else { return Ok(()) };
        let time = DateTime::parse_from_rfc3339(reading.observed_at)?.timestamp();
        let number: usize = reading.sensor_id[1..].parse()?;
        let detector = city.get_mut(number).context("a detector that there is none of")?;
        newest = newest.max(time);
        if detector.window != time.div_euclid(WINDOW_S) {
            let end = (detector.window + 1).saturating_mul(WINDOW_S);
            if let Some(opened) = detector.close() {
                let state = if opened { "open" } else { "clear" };
                alerts.push((end, format!("{} {} {state}", reading.sensor_id, end * 1000)));
            }
            detector.window = time.div_euclid(WINDOW_S);
        }
        if (0.0..=250.0).contains(&reading.speed_kmh) {
            detector.sum += reading.speed_kmh;
            detector.count += 1;
        }
        Ok(())
    })?;
    alerts.retain(|(end, _)| end + MAX_DELAY_S <= newest);
    let mut lines: Vec<String> = alerts.into_iter().map(|(_, line)| line).collect();
    lines.sort_unstable();
    Ok(lines)
}
