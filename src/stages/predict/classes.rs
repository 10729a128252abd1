//! Probabilities and the labels, 0 or 1, that came for them -> sums from which log loss, accuracy, precision, recall, F1,
//! the area under the curve and the calibration error follow. Sums only, so that partitions and days add up.

use serde::{Deserialize, Serialize};

/// Log-odds beyond which all are one: probabilities of a millionth, and all but that.
const ODDS_MAX: f64 = 14.0;

/// Bins even in log-odds between those: within one, odds differ by 1.8 %, however rare events are, and probabilities by less than
/// a two-hundredth. Pairs of labels within one bin count as ties in the area under the curve.
const BINS: usize = 1_600;

/// Groups of equal width of the calibration error: ten, as is usual.
const GROUPS: usize = 10;

/// Least probability that counts in the log loss: a wrong certainty costs 34.5, not infinity.
const PROBABILITY_MIN: f64 = 1e-15;

/// Sums over probabilities whose label has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSums {
    /// Sum of log losses, natural logarithm.
    pub log_loss: f64,
    /// Positive labels at or above the threshold.
    pub true_positives: u64,
    /// Negative labels at or above it.
    pub false_positives: u64,
    /// Negative labels below it.
    pub true_negatives: u64,
    /// Positive labels below it.
    pub false_negatives: u64,
    bins: Vec<Bin>,
    groups: Vec<Group>,
}

/// Labels of log-odds that are nearly the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    negatives: u64,
    positives: u64,
}

/// Labels of probabilities in one tenth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    positives: u64,
    probability: f64,
}

impl Default for ClassSums {
    fn default() -> Self {
        Self {
            log_loss: 0.0,
            true_positives: 0,
            false_positives: 0,
            true_negatives: 0,
            false_negatives: 0,
            bins: vec![Bin::default(); BINS],
            groups: vec![Group::default(); GROUPS],
        }
    }
}

impl ClassSums {
    /// Takes a probability, 0 to 1, and its label, 0 or 1, in; `threshold` is the least probability that means 1.
    pub fn add(&mut self, probability: f64, label: f64, threshold: f64) {
        let positive = label > 0.5;
        self.log_loss += log_loss(probability, label);
        *match (positive, probability >= threshold) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        } += 1;
        // Infinite at 0 and 1, and so held; a probability is finite and not negative.
        let odds = (probability / (1.0 - probability)).ln().clamp(-ODDS_MAX, ODDS_MAX);
        let bin = &mut self.bins[(((odds + ODDS_MAX) / (2.0 * ODDS_MAX) * BINS as f64) as usize).min(BINS - 1)];
        *if positive { &mut bin.positives } else { &mut bin.negatives } += 1;
        let group = &mut self.groups[((probability * GROUPS as f64) as usize).min(GROUPS - 1)];
        group.positives += u64::from(positive);
        group.probability += probability;
    }

    /// Takes the sums of another partition or day in.
    pub fn merge(&mut self, other: &Self) {
        self.log_loss += other.log_loss;
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.true_negatives += other.true_negatives;
        self.false_negatives += other.false_negatives;
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.negatives += more.negatives;
            bin.positives += more.positives;
        }
        for (group, more) in self.groups.iter_mut().zip(&other.groups) {
            group.positives += more.positives;
            group.probability += more.probability;
        }
    }

    /// Whether the sums are complete: those read back from a state might not be.
    pub(super) fn sound(&self) -> bool {
        self.bins.len() == BINS && self.groups.len() == GROUPS
    }

    fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    fn negatives(&self) -> u64 {
        self.true_negatives + self.false_positives
    }

    /// Number of labels.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.positives() + self.negatives()
    }

    /// Mean log loss (cross-entropy), natural logarithm; `None` without labels.
    #[must_use]
    pub fn mean_log_loss(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.log_loss / self.count() as f64)
    }

    /// Share of labels on the right side of the threshold; `None` without labels.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        share(self.true_positives + self.true_negatives, self.count())
    }

    /// Share of those called positive that are; `None` where none was called so.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the positive that were called so; `None` where none is.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.positives())
    }

    /// Harmonic mean of precision and recall; `None` where neither is known.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Area under the receiver operating characteristic: how often a positive has a greater probability than a negative,
    /// ties counting half; `None` where one kind of label is missing. Exact but for pairs whose odds differ by 1.8 % or less, or
    /// are both beyond a million to one.
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        let (mut below, mut right) = (0.0, 0.0);
        for bin in &self.bins {
            right += bin.positives as f64 * (below + 0.5 * bin.negatives as f64);
            below += bin.negatives as f64;
        }
        let pairs = self.positives() as f64 * self.negatives() as f64;
        (pairs > 0.0).then(|| right / pairs)
    }

    /// Expected calibration error over ten groups of equal width (Naeini, Cooper and Hauskrecht 2015): how far the share of
    /// positives is from the mean probability, weighted by the labels of each group; `None` without labels.
    #[must_use]
    pub fn calibration_error(&self) -> Option<f64> {
        let gaps: f64 = self.groups.iter().map(|group| (group.probability - group.positives as f64).abs()).sum();
        (self.count() > 0).then(|| gaps / self.count() as f64)
    }
}

/// The probability of log-odds, with care at both ends.
pub(super) fn logistic(odds: f64) -> f64 {
    if odds >= 0.0 { 1.0 / (1.0 + (-odds).exp()) } else { odds.exp() / (1.0 + odds.exp()) }
}

/// What a probability costs when its label, 0 or 1, has come: natural logarithm.
pub(super) fn log_loss(probability: f64, label: f64) -> f64 {
    let of_label = if label > 0.5 { probability } else { 1.0 - probability };
    -of_label.max(PROBABILITY_MIN).ln()
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
