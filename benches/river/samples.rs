//! Speeds of real detectors -> feature matrices and labels, the same for both sides of the comparison, and a file of them.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arterial::stages::features::{ColumnKind, FeatureColumn, FeatureMatrix};
use arterial::vocab::EventTime;

/// Windows ahead that are forecast: 15 minutes.
pub(crate) const AHEAD: usize = 3;
/// Windows at the start whose forecasts are not scored: two days.
pub(crate) const SCORED_FROM: usize = 576;
const LAGS: usize = 6;
const STEPS_PER_DAY: usize = 288;
const STEP_MICROS: i64 = 300_000_000;

/// What both learn.
pub(crate) struct Samples {
    pub(crate) sensors: usize,
    /// Per window: six lags, the last value carried forward, and the profile of the window to forecast.
    pub(crate) features: Vec<FeatureMatrix>,
    /// Per window and sensor; NaN where there was no reading.
    pub(crate) labels: Vec<Vec<f64>>,
}

impl Samples {
    /// The first windows of a table with a column of times and one per sensor, in which zero is missing.
    pub(crate) fn read(path: &Path, steps_max: usize) -> Result<Self> {
        let mut labels: Vec<Vec<f64>> = Vec::new();
        for record in csv::Reader::from_path(path)?.records().take(steps_max) {
            let record = record?;
            let number = |cell: &str| cell.trim().parse::<f64>().with_context(|| format!("`{cell}` is no speed"));
            let row: Result<Vec<f64>> = record.iter().skip(1).map(number).collect();
            labels.push(row?.into_iter().map(|speed| if speed > 0.0 { speed } else { f64::NAN }).collect());
        }
        let sensors = labels.first().map_or(0, Vec::len);
        let features = matrices(&labels, sensors);
        Ok(Self { sensors, features, labels })
    }

    /// The file that `river_models.py` reads.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        let width = LAGS + 1;
        let head = [self.labels.len(), self.sensors, width, AHEAD, SCORED_FROM].map(|number| number as f64);
        let values = self.features.iter().flat_map(|matrix| &matrix.values).chain(self.labels.iter().flatten());
        for number in head.iter().chain(values) {
            file.write_all(&number.to_le_bytes())?;
        }
        Ok(file.flush()?)
    }
}

/// Names of the columns.
pub(crate) fn columns() -> Arc<[FeatureColumn]> {
    let names = (0..LAGS).map(|lag| format!("speed.lag{lag}")).chain(["speed.profile".to_owned()]);
    let column = |name| FeatureColumn { name, kind: ColumnKind::InUnitsOf("speed".to_owned()), horizon_steps: None };
    names.map(column).collect()
}

fn matrices(labels: &[Vec<f64>], sensors: usize) -> Vec<FeatureMatrix> {
    let columns = columns();
    let mut last = vec![vec![f64::NAN; LAGS]; sensors];
    // Sum and count of each slot of the day.
    let mut profile = vec![[0.0_f64; 2]; sensors * STEPS_PER_DAY];
    let mut made = Vec::new();
    for (step, row) in labels.iter().enumerate() {
        let mut values = Vec::with_capacity(sensors * (LAGS + 1));
        for (sensor, &speed) in row.iter().enumerate() {
            let lags = &mut last[sensor];
            let known = if speed.is_finite() { speed } else { lags[0] };
            lags.rotate_right(1);
            lags[0] = known;
            let of = |at: usize| sensor * STEPS_PER_DAY + at % STEPS_PER_DAY;
            if speed.is_finite() {
                profile[of(step)][0] += speed;
                profile[of(step)][1] += 1.0;
            }
            let [sum, count] = profile[of(step + AHEAD)];
            values.extend_from_slice(lags);
            // A slot that was never seen is what is known now.
            values.push(if count > 0.0 { sum / count } else { known });
        }
        let end = EventTime(step as i64 * STEP_MICROS);
        made.push(FeatureMatrix { end, columns: Arc::clone(&columns), rows: sensors, values });
    }
    made
}
