//! Settings of a multilayer perceptron, checked.

use chrono_tz::Tz;

use super::pretrained::MlpStart;
use crate::stages::features::DAY_MICROS;
use crate::stages::predict::settings::{Loss, MlpSettings};

/// Most hidden units: with three blocks a network of a million weights, whose state is 16 MB.
const WIDTH_MAX: u32 = 512;
/// Most residual blocks.
const BLOCKS_MAX: u32 = 8;
/// Most rows of one optimiser step.
const BATCH_MAX: u32 = 16_384;
/// Most optimiser steps per closed window.
const STEPS_MAX: u32 = 1_000;
/// Most rows that a memory of past windows may hold.
const REPLAY_ROWS_MAX: u64 = 4_000_000;

/// Why a network cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MlpError {
    /// A setting out of its bounds.
    #[error("{name} {value} is not {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: String,
    },
    /// More to remember than memory should hold.
    #[error("replay of {windows} windows x {rows} rows holds more than {max} rows")]
    Replay {
        /// Windows.
        windows: u32,
        /// Rows of each.
        rows: u32,
        /// The limit.
        max: u64,
    },
}

impl MlpError {
    /// The setting that is wrong, as a path.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Setting { name, .. } => name,
            Self::Replay { .. } => "replay",
        }
    }
}

/// A network's shape and how it learns, checked. Columns are indices into those that the predictor uses.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpParams {
    /// Columns that it reads.
    pub columns: Vec<usize>,
    /// For each horizon, positions in `columns` of the values that a forecast lies between: as many for each.
    pub anchors: Vec<Vec<usize>>,
    /// How far ahead each horizon is, microseconds.
    pub horizons_micros: Vec<i64>,
    /// Time between windows, microseconds.
    pub every_micros: i64,
    /// Windows whose means and spreads scale the inputs; the network starts after them.
    pub history: usize,
    /// Zone of the time of day and the day of the week.
    pub zone: Tz,
    /// Width of a slot of the day, microseconds.
    pub slot_micros: i64,
    /// Hidden units.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Part of a block's units that a step leaves out.
    pub dropout: f32,
    /// Loss, of errors in spreads of the target.
    pub loss: Loss,
    /// Optimiser steps per closed window.
    pub steps: u32,
    /// Rows of a step.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f32,
    /// Part of a weight that a step takes away, in step sizes.
    pub weight_decay: f32,
    /// Weight that the mean of the weights keeps when a window is taken in.
    pub average: f32,
    /// Windows remembered.
    pub replay_windows: usize,
    /// Rows remembered of each.
    pub replay_rows: usize,
    /// Mean age of the windows that a step draws, in windows.
    pub replay_age: f64,
    /// Seed of the weights, the rows drawn and the units left out.
    pub seed: u64,
    /// What it starts from, and whether it learns.
    pub start: MlpStart,
}

/// What a network is planned for.
#[derive(Debug, Clone)]
pub struct MlpScope {
    /// Columns that it reads, as indices into those that the predictor uses.
    pub columns: Vec<usize>,
    /// For each horizon, positions in `columns` of its anchors.
    pub anchors: Vec<Vec<usize>>,
    /// How far ahead each horizon is, microseconds.
    pub horizons_micros: Vec<i64>,
    /// Time between windows, microseconds.
    pub every_micros: i64,
    /// Complete windows before the start.
    pub history: usize,
}

impl MlpParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting out of its bounds; correct it in the pipeline file.
    pub fn new(settings: &MlpSettings, scope: MlpScope) -> Result<Self, MlpError> {
        check_bounds(settings)?;
        let MlpScope { columns, anchors, horizons_micros, every_micros, history } = scope;
        let slot_micros = settings.slot_micros.unwrap_or_else(|| every_micros.clamp(300_000_000, DAY_MICROS));
        if slot_micros <= 0 || DAY_MICROS % slot_micros != 0 || DAY_MICROS / slot_micros > 1440 {
            let allowed = "a part of a day of at least a minute that fits it a whole number of times".to_owned();
            return Err(MlpError::Setting { name: "slot", value: slot_micros as f64 / 1e6, allowed });
        }
        let (windows, rows) = (settings.replay_windows, settings.replay_rows);
        if u64::from(windows) * u64::from(rows) > REPLAY_ROWS_MAX {
            return Err(MlpError::Replay { windows, rows, max: REPLAY_ROWS_MAX });
        }
        Ok(Self {
            columns,
            anchors,
            horizons_micros,
            every_micros,
            history: history.max(1),
            zone: settings.zone,
            slot_micros,
            width: settings.width as usize,
            blocks: settings.blocks as usize,
            dropout: settings.dropout as f32,
            loss: settings.loss,
            steps: settings.steps,
            batch: settings.batch as usize,
            learning_rate: settings.learning_rate as f32,
            weight_decay: settings.weight_decay as f32,
            average: settings.average as f32,
            replay_windows: windows as usize,
            replay_rows: rows as usize,
            replay_age: (settings.replay_age_micros as f64 / every_micros as f64).max(1.0),
            seed: settings.seed,
            start: settings.start.clone(),
        })
    }

    /// Whether the network may forecast from a row: of all that it reads, the first anchor or, without anchors, something
    /// must be known.
    #[must_use]
    pub fn speaks(&self, horizon: usize, values: &[f32]) -> bool {
        match self.anchors[horizon].first() {
            Some(&anchor) => values[anchor].is_finite(),
            None => values.iter().any(|value| value.is_finite()),
        }
    }

    /// Slots of a day.
    #[must_use]
    pub fn slots(&self) -> usize {
        // At least 1, at most 1440.
        (DAY_MICROS / self.slot_micros) as usize
    }

    /// Values that a forecast lies between, for each horizon.
    #[must_use]
    pub fn anchors_each(&self) -> usize {
        self.anchors.first().map_or(0, Vec::len)
    }
}

fn check_bounds(settings: &MlpSettings) -> Result<(), MlpError> {
    let whole =
        |name, value: u32, max: u32| (name, f64::from(value), (1..=max).contains(&value), format!("1 to {max}"));
    let part = |name, value: f64| (name, value, (0.0..1.0).contains(&value), "0 to below 1".to_owned());
    let bounds = [
        whole("width", settings.width, WIDTH_MAX),
        whole("blocks", settings.blocks, BLOCKS_MAX),
        whole("steps", settings.steps, STEPS_MAX),
        whole("batch", settings.batch, BATCH_MAX),
        whole("replay.windows", settings.replay_windows, u32::MAX),
        whole("replay.rows", settings.replay_rows, u32::MAX),
        part("dropout", settings.dropout),
        part("average", settings.average),
        part("weight_decay", settings.weight_decay),
        (
            "learning_rate",
            settings.learning_rate,
            settings.learning_rate > 0.0 && settings.learning_rate <= 1.0,
            "above 0, at most 1".to_owned(),
        ),
    ];
    match bounds.into_iter().find(|(_, _, fine, _)| !fine) {
        Some((name, value, _, allowed)) => Err(MlpError::Setting { name, value, allowed }),
        None => Ok(()),
    }
}
