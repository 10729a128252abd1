//! What the tests of the predict stage share: a state in memory, seeded numbers, windows with their lags.

use std::collections::BTreeMap;
use std::sync::Arc;

use arterial::stages::features::{ColumnKind, FeatureColumn, FeatureMatrix, Period};
use arterial::stages::predict::{
    ExpertSettings, Loss, ModelSettings, OnlineLinearSettings, Predict, PredictError, PredictInput, PredictPlan,
    PredictorSettings, ProfileSettings, ScoreBy, Start, Task,
};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::{At, EventTime, StateReader, StateWriter, YamlPath};

/// Five minutes, microseconds.
pub(crate) const SIZE: i64 = 300_000_000;

/// Blocks as a ledger would keep them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemoryState {
    pub(crate) blocks: BTreeMap<(String, u32), Vec<u8>>,
    pub(crate) writes: usize,
}

impl StateWriter for MemoryState {
    fn put(&mut self, step: &str, block: u32, value: Vec<u8>) {
        self.blocks.insert((step.to_owned(), block), value);
        self.writes += 1;
    }

    fn delete(&mut self, step: &str, block: u32) {
        self.blocks.remove(&(step.to_owned(), block));
        self.writes += 1;
    }
}

impl StateReader for MemoryState {
    fn blocks<'a>(&'a self, step: &str) -> Box<dyn Iterator<Item = (u32, &'a [u8])> + 'a> {
        let step = step.to_owned();
        let mine = self.blocks.iter().filter(move |((name, _), _)| *name == step);
        Box::new(mine.map(|((_, block), bytes)| (*block, bytes.as_slice())))
    }
}

/// Seeded numbers (xorshift).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Uniform in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Roughly normal, mean 0, deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// The settings of the city job's model.
pub(crate) fn city_model() -> OnlineLinearSettings {
    OnlineLinearSettings {
        features: None,
        forgetting: 0.999,
        loss: Loss::Squared,
        scale: 100.0,
        initial_covariance: 1.0,
        ridge: 1.0,
        bias: true,
        start: Start::LeastSquares,
        huber_delta: 3.0,
        trace_max: None,
    }
}

/// A predictor of `speed` named `speed`, started at persistence.
pub(crate) fn settings(horizon_steps: &[i64], model: OnlineLinearSettings) -> PredictorSettings {
    PredictorSettings {
        path: YamlPath::default().key("predict").key("speed"),
        name: "speed".to_owned(),
        target: "speed".to_owned(),
        task: Task::Regression,
        threshold: 0.5,
        horizons_micros: horizon_steps.iter().map(|steps| steps * SIZE).collect(),
        features: None,
        min_history_micros: 0,
        model: ModelSettings::One(ExpertSettings::OnlineLinear(model)),
        challengers: Vec::new(),
        champion: None,
        promotion: None,
        profile: ProfileSettings {
            period: Period::Day,
            slot_micros: 1_800_000_000,
            zone: chrono_tz::UTC,
            smooth: 0,
            memory: None,
            min_values: 1,
        },
        intervals: None,
        drift: None,
        explain: false,
        minimum: None,
        maximum: None,
        score_from: None,
        score_by: ScoreBy::Forecast,
    }
}

/// Columns `speed.lag0` .. and the named ones, which serve every horizon.
pub(crate) fn columns(lags: usize, others: &[&str]) -> Vec<FeatureColumn> {
    let names = (0..lags).map(|lag| format!("speed.lag{lag}")).chain(others.iter().map(|name| (*name).to_owned()));
    let column = |name: String| {
        let in_units = ["lag", "profile"].iter().any(|kind| name.starts_with(&format!("speed.{kind}")));
        let kind = if in_units { ColumnKind::InUnitsOf("speed".to_owned()) } else { ColumnKind::Unitless };
        FeatureColumn { name, kind, horizon_steps: None }
    };
    names.map(column).collect()
}

/// The plan of predictors over window columns `speed` (measured) and `free_flow` (carried), or what is wrong with it.
pub(crate) fn try_plan(
    settings: &[PredictorSettings],
    columns: &[FeatureColumn],
) -> Result<PredictPlan, Vec<At<PredictError>>> {
    let window_columns = ["speed".to_owned(), "free_flow".to_owned()];
    let input = PredictInput {
        window_columns: &window_columns,
        measured: 1,
        size_micros: SIZE,
        every_micros: SIZE,
        min_count: 2,
        feature_columns: columns,
    };
    PredictPlan::new(settings, &input)
}

/// The plan of one such predictor.
pub(crate) fn plan(settings: PredictorSettings, columns: &[FeatureColumn]) -> Arc<PredictPlan> {
    Arc::new(try_plan(&[settings], columns).unwrap())
}

/// Windows in order, with the lags of their values.
#[derive(Clone)]
pub(crate) struct Feed {
    columns: Arc<[FeatureColumn]>,
    lags: usize,
    past: Vec<Vec<f64>>,
}

impl Feed {
    pub(crate) fn new(lags: usize, columns: &[FeatureColumn]) -> Self {
        Self { columns: columns.into(), lags, past: Vec::new() }
    }

    /// The window that ends at step `step`, with these values per key; columns beyond the lags hold `others`.
    pub(crate) fn window(&mut self, step: i64, values: &[f64], others: &[f64]) -> (ClosedWindow, FeatureMatrix) {
        self.past.insert(0, values.to_vec());
        self.past.truncate(self.lags.max(1));
        let end = EventTime(step * SIZE);
        let mut matrix = Vec::new();
        for key in 0..values.len() {
            for lag in 0..self.lags {
                matrix.push(self.past.get(lag).and_then(|past| past.get(key)).copied().unwrap_or(f64::NAN));
            }
            matrix.extend_from_slice(others);
        }
        let window = ClosedWindow {
            start: end.plus(-SIZE),
            end,
            live: vec![true; values.len()],
            rows: vec![10; values.len()],
            imputed: Vec::new(),
            measured_columns: Vec::new(),
            columns: vec![values.to_vec(), vec![100.0; values.len()]],
            expired: Vec::new(),
        };
        let features = FeatureMatrix { end, columns: Arc::clone(&self.columns), rows: values.len(), values: matrix };
        (window, features)
    }

    /// Values of the last windows, newest first.
    pub(crate) fn past(&self) -> Vec<Vec<f64>> {
        self.past.clone()
    }

    /// Goes on from such values.
    pub(crate) fn set_past(&mut self, past: Vec<Vec<f64>>) {
        self.past = past;
    }

    /// Forgets the past of a key.
    pub(crate) fn forget(&mut self, key: usize) {
        for past in &mut self.past {
            if let Some(value) = past.get_mut(key) {
                *value = f64::NAN;
            }
        }
    }
}

/// Speeds of some keys with a daily wave and seeded noise: `[step][key]`.
pub(crate) fn speeds(keys: usize, steps: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut numbers = Numbers(seed);
    let mut drift = vec![0.0; keys];
    let mut series = Vec::new();
    for step in 0..steps {
        let wave = (step as f64 / 288.0 * std::f64::consts::TAU).sin();
        let mut values = Vec::new();
        for (key, drift) in drift.iter_mut().enumerate() {
            *drift = 0.9 * *drift + numbers.normal();
            values.push(70.0 + key as f64 + 15.0 * wave + 3.0 * *drift + numbers.normal());
        }
        series.push(values);
    }
    series
}

/// A full snapshot.
pub(crate) fn full(predict: &mut Predict) -> MemoryState {
    let mut state = MemoryState::default();
    predict.snapshot(arterial::vocab::Snapshot::Full, &mut state);
    state
}

/// Numbers as bits, so that NaN equals NaN.
pub(crate) fn bits(forecasts: &[Vec<f64>]) -> Vec<Vec<u64>> {
    forecasts.iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
}
