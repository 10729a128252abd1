//! A network that keys share, trained on a history: its weights with the names of its keys, how it reads its inputs, and
//! whether it is the network that a plan describes. No files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::inputs::{Batch, Scales};
use super::mlp_fit::MlpExamples;
use super::network::{Matrix, Weights, forecast};
use super::params::MlpParams;
use crate::stages::features::FeatureColumn;
use crate::vocab::duration_text;

/// Rows that are forecast at a time: some MB.
const ROWS_AT_ONCE: usize = 8192;

/// What a network reads and says: weights mean something only for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpShape {
    /// Columns that it reads, in order.
    pub features: Vec<String>,
    /// For each horizon, the columns that a forecast lies between.
    pub anchors: Vec<Vec<String>>,
    /// How far ahead each horizon is.
    pub horizons: Vec<String>,
    /// Time between windows.
    pub every: String,
    /// Zone of the time of day and the day of the week.
    pub timezone: String,
    /// Width of a slot of the day.
    pub slot: String,
    /// Hidden units.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
}

impl MlpShape {
    /// That of a planned network; `columns` are those that it reads.
    #[must_use]
    pub fn new(params: &MlpParams, columns: &[FeatureColumn]) -> Self {
        let name = |column: &FeatureColumn| column.name.clone();
        let anchors = |anchors: &Vec<usize>| anchors.iter().map(|&anchor| name(&columns[anchor])).collect();
        Self {
            features: columns.iter().map(name).collect(),
            anchors: params.anchors.iter().map(anchors).collect(),
            horizons: params.horizons_micros.iter().map(|&micros| duration_text(micros)).collect(),
            every: duration_text(params.every_micros),
            timezone: params.zone.name().to_owned(),
            slot: duration_text(params.slot_micros),
            width: params.width,
            blocks: params.blocks,
        }
    }

    /// What is not the same in a plan; `None` where all is.
    fn difference(&self, planned: &Self) -> Option<String> {
        let texts = [
            ("reads", self.features.join(", "), planned.features.join(", ")),
            ("has horizons", self.horizons.join(", "), planned.horizons.join(", ")),
            ("has windows every", self.every.clone(), planned.every.clone()),
            ("has anchors", anchors_text(&self.anchors), anchors_text(&planned.anchors)),
            ("has timezone", self.timezone.clone(), planned.timezone.clone()),
            ("has slot", self.slot.clone(), planned.slot.clone()),
            ("has width", self.width.to_string(), planned.width.to_string()),
            ("has blocks", self.blocks.to_string(), planned.blocks.to_string()),
        ];
        let different = texts.into_iter().find(|(_, own, planned)| own != planned);
        different.map(|(what, own, planned)| format!("it {what} {own}; the predictor {planned}"))
    }
}

fn anchors_text(anchors: &[Vec<String>]) -> String {
    let each: Vec<String> = anchors.iter().filter(|each| !each.is_empty()).map(|each| each.join(" and ")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

/// A network as it was trained: what forecasts, and how it reads its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedMlp {
    /// All weights; those of the keys in the order of `keys`.
    pub weights: Weights,
    /// Means and spreads of the columns and of the target.
    pub scales: Scales,
    /// Names of the keys, ascending: the values of their columns, joined by U+001F.
    pub keys: Vec<String>,
}

impl TrainedMlp {
    /// The vector of a key; `None` of one that it has not seen.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&[f32]> {
        let place = self.keys.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        let Matrix { columns, values, .. } = self.weights.0.last()?;
        values.get(place * columns..(place + 1) * columns)
    }

    /// The weights without those of keys.
    #[must_use]
    pub fn shared(&self) -> Weights {
        let mut weights = self.weights.clone();
        if let Some(keys) = weights.0.last_mut() {
            (keys.rows, keys.values) = (0, Vec::new());
        }
        weights
    }

    /// The forecasts of rows in the target's unit, `rows x horizons`, NaN where a row lacks its first anchor. Keys of the
    /// rows that it has not seen are as all are.
    #[must_use]
    pub fn forecast(&self, params: &MlpParams, rows: &MlpExamples) -> Vec<f64> {
        let mut weights = self.shared();
        weights.grow(rows.names.len());
        for (key, name) in rows.names.iter().enumerate() {
            if let Some(vector) = self.key(name) {
                weights.set_key(key, vector);
            }
        }
        let horizons = params.horizons_micros.len();
        let mut made = Vec::with_capacity(rows.len() * horizons);
        for start in (0..rows.len()).step_by(ROWS_AT_ONCE) {
            let some = start..(start + ROWS_AT_ONCE).min(rows.len());
            let mut batch = Batch::default();
            some.clone().for_each(|row| batch.push(params, &self.scales, rows.origin(row), rows.values(row)));
            let outputs = forecast(params, &self.scales, &weights, &batch);
            for (row, outputs) in some.zip(outputs.chunks_exact(horizons)) {
                let speaks = |horizon: usize| params.speaks(horizon, rows.values(row));
                let one = |(horizon, output): (usize, &f32)| {
                    if speaks(horizon) { self.scales.forecast(*output) } else { f64::NAN }
                };
                made.extend(outputs.iter().enumerate().map(one));
            }
        }
        made
    }
}

/// A trained network that a predictor starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainedMlp {
    /// Its version, as `v3`.
    pub version: String,
    /// blake3 of its weights.
    pub hash: String,
    /// Columns that its keys are made of.
    pub key: Vec<String>,
    /// What it reads and says.
    pub shape: MlpShape,
    /// The network.
    pub trained: TrainedMlp,
}

impl PretrainedMlp {
    /// Why it is not the network that a plan describes; `None` where it is.
    #[must_use]
    pub fn difference(&self, params: &MlpParams, columns: &[FeatureColumn]) -> Option<String> {
        let sizes =
            |weights: &Weights| weights.0.iter().map(|matrix| (matrix.rows, matrix.columns)).collect::<Vec<_>>();
        let (own, planned) = (sizes(&self.trained.shared()), sizes(&Weights::fresh(params)));
        self.shape.difference(&MlpShape::new(params, columns)).or_else(|| {
            // Its card says what it should be, its tensors are something else.
            (own != planned).then(|| format!("its tensors are {own:?}, those of the predictor {planned:?}"))
        })
    }
}

/// How a network of a predictor begins, and whether it goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MlpStart {
    /// What it starts from; from nothing where `None`.
    pub pretrained: Option<Arc<PretrainedMlp>>,
    /// Whether it stays as it is.
    pub frozen: bool,
}
