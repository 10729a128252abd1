//! Labelled rows -> a trained network of classes, by epochs over all of them, and how good such a network is on rows that
//! it has not seen. Deterministic in the seed; no files, no clock.

use serde::{Deserialize, Serialize};

use super::classifier::{MlpClassifierParams, scaled};
use super::dense;
use super::network::Weights;
use super::training::{Dice, Learned};
use crate::stages::predict::classes::{ClassSums, log_loss, logistic};
use crate::stages::predict::moments::Moments;
use crate::vocab::EventTime;

/// Rows with their labels, 0 or 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    /// Columns of a row.
    pub columns: usize,
    /// `rows x columns`, NaN where missing.
    pub values: Vec<f32>,
    /// One of each row.
    pub labels: Vec<f32>,
}

impl Examples {
    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// A row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// These rows alone.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            columns: self.columns,
            values: rows.iter().flat_map(|&row| self.row(row).iter().copied()).collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }
}

/// A network as it was trained: what predicts, and how it reads its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Weights and bias of each layer.
    pub weights: Weights,
    /// Means and spreads of the columns.
    pub scales: Vec<Moments>,
}

impl Trained {
    /// Inputs and units of each layer, and the output.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let layers = self.weights.0.chunks(2).filter_map(|layer| layer.first());
        let inputs = self.weights.0.first().map_or(0, |matrix| matrix.rows);
        [inputs].into_iter().chain(layers.map(|matrix| matrix.columns)).collect()
    }

    /// The probability of the class 1 for each row.
    #[must_use]
    pub fn predict(&self, examples: &Examples) -> Vec<f64> {
        let inputs = |row| scaled(&self.scales, examples.row(row)).collect::<Vec<_>>();
        let inputs: Vec<f32> = (0..examples.len()).flat_map(inputs).collect();
        dense::log_odds(&self.weights, &inputs).into_iter().map(|odds| logistic(f64::from(odds))).collect()
    }
}

/// A trained network that a predictor starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretrained {
    /// Its version, as `v3`.
    pub version: String,
    /// blake3 of its weights.
    pub hash: String,
    /// Columns that it reads, in order.
    pub features: Vec<String>,
    /// The network.
    pub trained: Trained,
}

/// How long a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Times that it sees every row.
    pub epochs: u32,
    /// Seed of its first weights and of the order of the rows.
    pub seed: u64,
}

/// Weights that training has left without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the weights are no numbers any more after epoch {epoch}: a lower `learning_rate` may help")]
pub struct Diverged {
    /// The epoch, from 1.
    pub epoch: u32,
}

/// Trains a network: every epoch in an order of its own, by batches of the settings' size. What predicts is the mean of
/// the weights.
///
/// # Errors
/// [`Diverged`]: give the network other settings.
pub fn fit(params: &MlpClassifierParams, examples: &Examples, training: Training) -> Result<Trained, Diverged> {
    let mut scales = vec![Moments::default(); examples.columns];
    for row in 0..examples.len() {
        for (moments, value) in scales.iter_mut().zip(examples.row(row)).filter(|(_, value)| value.is_finite()) {
            moments.add_held(f64::from(*value));
        }
    }
    let rows: Vec<Vec<f32>> = (0..examples.len()).map(|row| scaled(&scales, examples.row(row)).collect()).collect();
    let mut learned = Learned::fresh(dense::fresh(&params.widths(examples.columns), training.seed));
    let mut order: Vec<usize> = (0..examples.len()).collect();
    for epoch in 0..training.epochs {
        let mut dice = Dice::new(training.seed, EventTime(i64::from(epoch)), 1);
        shuffle(&mut order, &mut dice);
        for batch in order.chunks(params.batch) {
            let inputs: Vec<f32> = batch.iter().flat_map(|&row| rows[row].iter().copied()).collect();
            let labels: Vec<f32> = batch.iter().map(|&row| examples.labels[row]).collect();
            let kept = params.kept(labels.len(), &mut dice);
            let gradients = dense::weight_gradients(&learned.weights, &inputs, &labels, &kept);
            learned.step(params.rates, &gradients);
            learned.average(params.average);
        }
        if !(learned.weights.finite() && learned.mean.finite()) {
            return Err(Diverged { epoch: epoch + 1 });
        }
    }
    Ok(Trained { weights: learned.mean, scales })
}

/// Rows by fold, each class spread evenly (stratified), in an order that follows from the seed.
#[must_use]
pub fn folds(labels: &[f32], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut dice = Dice::new(seed, EventTime::MIN, 2);
    let mut folds = vec![Vec::new(); count.max(1)];
    let mut place = 0;
    for class in [false, true] {
        let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| (labels[row] > 0.5) == class).collect();
        shuffle(&mut rows, &mut dice);
        for row in rows {
            folds[place % count.max(1)].push(row);
            place += 1;
        }
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// Fisher and Yates.
pub(super) fn shuffle(rows: &mut [usize], dice: &mut Dice) {
    for place in (1..rows.len()).rev() {
        rows.swap(place, (dice.next_u64() % (place as u64 + 1)) as usize);
    }
}

/// How good probabilities are on rows that their model has not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows.
    pub rows: u64,
    /// Mean log loss, natural logarithm.
    pub log_loss: f64,
    /// Share on the right side of the threshold.
    pub accuracy: f64,
    /// Share of those called positive that are; none where none was called so.
    pub precision: Option<f64>,
    /// Share of the positive that were called so; none without positives.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall; none where neither is.
    pub f1: Option<f64>,
    /// Area under the receiver operating characteristic, exact; none where one class is missing.
    pub auc: Option<f64>,
    /// Expected calibration error over ten groups.
    pub calibration_error: f64,
}

impl Evaluation {
    /// Of probabilities and their labels. Without any rows what is always defined is 0.
    #[must_use]
    pub fn of(probabilities: &[f64], labels: &[f32], threshold: f64) -> Self {
        let mut sums = ClassSums::default();
        for (&probability, &label) in probabilities.iter().zip(labels) {
            sums.add(probability, f64::from(label), threshold);
        }
        Self {
            rows: sums.count(),
            log_loss: sums.mean_log_loss().unwrap_or_default(),
            accuracy: sums.accuracy().unwrap_or_default(),
            precision: sums.precision(),
            recall: sums.recall(),
            f1: sums.f1(),
            auc: auc(probabilities, labels),
            calibration_error: sums.calibration_error().unwrap_or_default(),
        }
    }

    /// The mean of several, as of the folds of a cross-validation, of each measure over those where it is defined; rows add
    /// up.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len().max(1) as f64;
        let mean_defined = |of: fn(&Self) -> Option<f64>| {
            let defined: Vec<f64> = all.iter().filter_map(of).collect();
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
        };
        Self {
            rows: all.iter().map(|one| one.rows).sum(),
            log_loss: mean(|one| one.log_loss),
            accuracy: mean(|one| one.accuracy),
            precision: mean_defined(|one| one.precision),
            recall: mean_defined(|one| one.recall),
            f1: mean_defined(|one| one.f1),
            auc: mean_defined(|one| one.auc),
            calibration_error: mean(|one| one.calibration_error),
        }
    }
}

/// One standard error of the difference of the mean log losses of two models on the same rows; 0 of fewer than two.
#[must_use]
pub fn standard_error(own: &[f64], theirs: &[f64], labels: &[f32]) -> f64 {
    let both = own.iter().zip(theirs).zip(labels);
    let differences: Vec<f64> = both
        .map(|((own, theirs), &label)| log_loss(*own, f64::from(label)) - log_loss(*theirs, f64::from(label)))
        .collect();
    let count = differences.len() as f64;
    if count < 2.0 {
        return 0.0;
    }
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    (squares / (count - 1.0) / count).sqrt()
}

/// How often a positive has the greater probability, ties counting half (Mann and Whitney 1947), from ranks.
fn auc(probabilities: &[f64], labels: &[f32]) -> Option<f64> {
    let mut rows: Vec<usize> = (0..probabilities.len().min(labels.len())).collect();
    rows.sort_by(|&one, &other| probabilities[one].total_cmp(&probabilities[other]));
    let (mut below, mut right, mut positives) = (0.0, 0.0, 0.0);
    for tied in rows.chunk_by(|&one, &other| probabilities[one] == probabilities[other]) {
        let positive = tied.iter().filter(|&&row| labels[row] > 0.5).count() as f64;
        let negative = tied.len() as f64 - positive;
        right += positive * (below + 0.5 * negative);
        below += negative;
        positives += positive;
    }
    let pairs = positives * below;
    (pairs > 0.0).then(|| right / pairs)
}
