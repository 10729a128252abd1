//! Prequential scores of the partitions that this process owns -> metrics, added up when they are read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arterial_connectors::position::Partition;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::spec::model::Span;
use crate::stages::predict::{Baseline, ClassSums, ScoreTotal, merge_totals};

/// Which scores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScoreLabel {
    predictor: String,
    /// As the pipeline file writes it: `15m`.
    horizon: String,
    model: String,
}

/// Which skill.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SkillLabel {
    predictor: String,
    horizon: String,
    model: String,
    baseline: &'static str,
}

/// What is told of a classifier: name, help, and the number itself.
type ClassMeasure = (&'static str, &'static str, fn(&ClassSums) -> Option<f64>);

const CLASS_MEASURES: [ClassMeasure; 7] = [
    ("predict_log_loss", "Mean log loss of probabilities, natural logarithm", ClassSums::mean_log_loss),
    ("predict_accuracy_ratio", "Share of labels on the right side of the threshold", ClassSums::accuracy),
    ("predict_precision_ratio", "Share of those called positive that are", ClassSums::precision),
    ("predict_recall_ratio", "Share of the positive that were called so", ClassSums::recall),
    ("predict_f1_ratio", "Harmonic mean of precision and recall", ClassSums::f1),
    ("predict_auc_ratio", "Area under the receiver operating characteristic", ClassSums::auc),
    ("predict_calibration_error_ratio", "Expected calibration error over ten groups", ClassSums::calibration_error),
];

/// The worker that owns a partition, and the partition's totals as of its last commit.
type Owned = (String, Vec<ScoreTotal>);

/// Totals of each owned partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Scores {
    partitions: Arc<Mutex<BTreeMap<Partition, Owned>>>,
}

impl Scores {
    /// What a worker owns as of its last commit. What it no longer owns is forgotten, unless another worker of the
    /// process has it now.
    pub(super) fn set(&self, worker: &str, owned: impl Iterator<Item = (Partition, Vec<ScoreTotal>)>) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.retain(|_, (owner, _)| owner != worker);
        partitions.extend(owned.map(|(partition, totals)| (partition, (worker.to_owned(), totals))));
    }

    /// Totals over all partitions.
    fn totals(&self) -> Vec<ScoreTotal> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.values().fold(Vec::new(), |mut sum, (_, part)| {
            merge_totals(&mut sum, part);
            sum
        })
    }
}

fn label(total: &ScoreTotal) -> ScoreLabel {
    ScoreLabel {
        predictor: total.predictor.clone(),
        horizon: Span { micros: total.horizon_micros }.to_string(),
        model: total.model.clone(),
    }
}

impl Collector for Scores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let totals = self.totals();
        let labels = ConstCounter::new(0_u64).metric_type();
        let mut family =
            encoder.encode_descriptor("predict_labels", "Forecasts scored against a label", None, labels)?;
        for total in &totals {
            ConstCounter::new(total.sums.count).encode(family.encode_family(&label(total))?)?;
        }
        let help = "Labels that models refused in order to stay sound, of keys still known";
        let mut family = encoder.encode_descriptor("predict_refused_labels", help, None, labels)?;
        for total in totals.iter().filter(|total| Baseline::ALL.iter().all(|baseline| baseline.name() != total.model)) {
            ConstCounter::new(total.refused).encode(family.encode_family(&label(total))?)?;
        }
        let gauge = ConstGauge::new(0.0).metric_type();
        let help = "Mean absolute error, in the target's unit";
        let mut family = encoder.encode_descriptor("predict_mae", help, None, gauge)?;
        for (total, mae) in totals.iter().filter_map(|total| Some((total, total.sums.mae()?))) {
            ConstGauge::new(mae).encode(family.encode_family(&label(total))?)?;
        }
        let help = "Root mean squared error, in the target's unit";
        let mut family = encoder.encode_descriptor("predict_rmse", help, None, gauge)?;
        for (total, rmse) in totals.iter().filter_map(|total| Some((total, total.sums.rmse()?))) {
            ConstGauge::new(rmse).encode(family.encode_family(&label(total))?)?;
        }
        let help = "Weight of an expert in its mixture, mean over keys";
        let mut family = encoder.encode_descriptor("predict_mix_weight_ratio", help, None, gauge)?;
        for (total, weight) in totals.iter().filter_map(|total| Some((total, total.weight?.mean()?))) {
            ConstGauge::new(weight).encode(family.encode_family(&label(total))?)?;
        }
        let help = "Share of labels between the bounds of their forecasts";
        let mut family = encoder.encode_descriptor("predict_interval_coverage_ratio", help, None, gauge)?;
        for (total, share) in totals.iter().filter_map(|total| Some((total, total.sums.intervals.coverage()?))) {
            ConstGauge::new(share).encode(family.encode_family(&label(total))?)?;
        }
        let help = "Mean interval score, in the target's unit";
        let mut family = encoder.encode_descriptor("predict_interval_score", help, None, gauge)?;
        for (total, score) in totals.iter().filter_map(|total| Some((total, total.sums.intervals.mean_score()?))) {
            ConstGauge::new(score).encode(family.encode_family(&label(total))?)?;
        }
        for (name, help, measure) in CLASS_MEASURES {
            let mut family = encoder.encode_descriptor(name, help, None, gauge)?;
            for total in &totals {
                let Some(value) = total.sums.classes.as_deref().and_then(measure) else { continue };
                ConstGauge::new(value).encode(family.encode_family(&label(total))?)?;
            }
        }
        let help = "How much lower the mean absolute error is than the baseline's: 1 is perfect, 0 as good";
        let mut family = encoder.encode_descriptor("predict_skill_ratio", help, None, gauge)?;
        for (total, baseline) in totals.iter().flat_map(|total| Baseline::ALL.map(|baseline| (total, baseline))) {
            let Some(skill) = total.skill(baseline) else { continue };
            let ScoreLabel { predictor, horizon, model } = label(total);
            let label = SkillLabel { predictor, horizon, model, baseline: baseline.name() };
            ConstGauge::new(skill).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
