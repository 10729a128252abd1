//! Counters, gauges and histograms of a pipeline, in a registry of its own.

use std::sync::Arc;
use std::time::Duration;

use arterial_connectors::ledger::CommitOutcome;
use arterial_connectors::position::Partition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::scores::Scores;
use super::{BatchReport, Health};
use crate::stages::predict::ScoreTotal;
use crate::state::Accounting;
use crate::vocab::duration_text;

/// Seconds: from a commit of nothing on loopback to one that the coordinator holds up.
const COMMIT_BUCKETS: [f64; 10] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    worker: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    topic: String,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    worker: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    stage: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HorizonLabel {
    predictor: String,
    /// As the pipeline file writes it: `15m`.
    horizon: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PromotionLabel {
    predictor: String,
    /// The one that took over.
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ColumnLabel {
    column: String,
    /// The step's key in the pipeline file.
    step: &'static str,
}

type ByPartition = Family<PartitionLabel, Gauge>;

/// All metrics of one pipeline.
pub struct Metrics {
    registry: Registry,
    health: Health,
    source_rows: Family<WorkerLabel, Counter>,
    source_lag: Family<WorkerLabel, Gauge>,
    source_failures: Family<WorkerLabel, Counter>,
    source_connected: Family<WorkerLabel, Gauge>,
    rejected: Family<ReasonLabel, Counter>,
    replaced: Family<ColumnLabel, Counter>,
    windows: Family<WorkerLabel, Counter>,
    alerts: Family<WorkerLabel, Counter>,
    drifts: Family<HorizonLabel, Counter>,
    promotions: Family<PromotionLabel, Counter>,
    commits: Family<OutcomeLabel, Counter>,
    commit_seconds: Histogram,
    state_bytes: Counter,
    dispositions: Vec<(Disposition, ByPartition)>,
    scores: Scores,
}

/// Reads one term of the accounting identity.
type Disposition = fn(&Accounting) -> u64;

/// The terms of the accounting identity: metric, help, value.
const DISPOSITIONS: [(&str, &str, Disposition); 8] = [
    ("source_read_rows", "Rows read since the pipeline's first start", |a| a.rows_in),
    ("source_skipped_rows", "Offsets stepped over by on_gap: skip", |a| a.skipped),
    ("decode_dead_letter_rows", "Rows that could not be decoded", |a| a.dead_letter_decode),
    ("clean_dead_letter_rows", "Rows that cleaning rejected", |a| a.dead_letter_clean),
    ("clean_filtered_rows", "Rows that cleaning left out, and tombstones", |a| a.filtered),
    ("clean_duplicate_rows", "Rows that repeat an earlier one", |a| a.duplicate),
    ("window_late_rows", "Rows too late for every window", |a| a.late),
    ("window_accepted_rows", "Rows that reached their window", |a| a.accepted),
];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("arterial");
        let dispositions = DISPOSITIONS
            .into_iter()
            .map(|(name, help, value)| (value, registered(&mut registry, name, help, ByPartition::default())))
            .collect();
        let commit_seconds = Histogram::new(COMMIT_BUCKETS);
        registry.register_with_unit("ledger_commit", "Time of a commit", Unit::Seconds, commit_seconds.clone());
        let scores = Scores::default();
        registry.register_collector(Box::new(scores.clone()));
        Self {
            health: Health::default(),
            source_rows: registered(&mut registry, "source_rows", "Rows processed by this process", Family::default()),
            source_lag: registered(&mut registry, "source_lag_rows", "Rows waiting at the source", Family::default()),
            source_failures: registered(&mut registry, "source_failures", "Failed reads", Family::default()),
            source_connected: registered(&mut registry, "source_connected", "1 if it answers", Family::default()),
            rejected: registered(&mut registry, "rejected_rows", "Dead letters by reason", Family::default()),
            replaced: registered(
                &mut registry,
                "clean_replaced_values",
                "Made null or moved to a limit",
                Family::default(),
            ),
            windows: registered(&mut registry, "window_closed_windows", "Closed windows, per key", Family::default()),
            alerts: registered(&mut registry, "alert_changes", "Alert changes", Family::default()),
            drifts: registered(&mut registry, "predict_drifts", "Rises of forecasts' errors", Family::default()),
            promotions: registered(&mut registry, "predict_promotions", "Models that took over", Family::default()),
            commits: registered(&mut registry, "ledger_commits", "Commits by outcome", Family::default()),
            state_bytes: registered(&mut registry, "ledger_state_bytes", "State written", Counter::default()),
            commit_seconds,
            dispositions,
            scores,
            registry,
        }
    }
}

fn registered<M: prometheus_client::registry::Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Readiness of the pipeline.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// Only where a formatter fails, which writing to a string never does.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The part of one worker.
    #[must_use]
    pub fn worker(self: &Arc<Self>, slot: &str) -> WorkerMetrics {
        self.health.set(slot, Err("starting".to_owned()));
        WorkerMetrics { metrics: Arc::clone(self), label: WorkerLabel { worker: slot.to_owned() } }
    }
}

/// What one worker reports, at most once per batch.
pub struct WorkerMetrics {
    metrics: Arc<Metrics>,
    label: WorkerLabel,
}

impl WorkerMetrics {
    /// A batch was processed.
    pub fn batch(&self, report: &BatchReport) {
        self.metrics.source_rows.get_or_create(&self.label).inc_by(report.rows);
        self.metrics.windows.get_or_create(&self.label).inc_by(report.windows);
        self.metrics.alerts.get_or_create(&self.label).inc_by(report.alerts);
        for ((predictor, horizon), detections) in &report.drifts {
            let label = HorizonLabel { predictor: predictor.clone(), horizon: duration_text(*horizon) };
            self.metrics.drifts.get_or_create(&label).inc_by(*detections);
        }
        for promotion in &report.promotions {
            let (predictor, model) = (promotion.predictor.clone(), promotion.after.clone());
            self.metrics.promotions.get_or_create(&PromotionLabel { predictor, model }).inc();
        }
        for (column, step, counted) in report.replaced.iter().filter(|(_, _, counted)| counted.replaced > 0) {
            let label = ColumnLabel { column: column.to_string(), step };
            self.metrics.replaced.get_or_create(&label).inc_by(counted.replaced);
        }
        for ((stage, reason), rows) in &report.rejected {
            self.metrics.rejected.get_or_create(&ReasonLabel { stage, reason }).inc_by(*rows);
        }
    }

    /// A read failed and will be tried again.
    pub fn source_failed(&self) {
        self.metrics.source_failures.get_or_create(&self.label).inc();
    }

    /// Whether the far side answers.
    pub fn connected(&self, connected: Result<(), String>) {
        self.metrics.source_connected.get_or_create(&self.label).set(i64::from(connected.is_ok()));
        self.metrics.health.set(&self.label.worker, connected);
    }

    /// The worker has ended.
    pub fn ended(&self) {
        self.metrics.health.ended(&self.label.worker);
    }

    /// Rows waiting at the source.
    pub fn lag(&self, rows: u64) {
        self.metrics.source_lag.get_or_create(&self.label).set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A commit ended.
    pub fn commit(&self, outcome: CommitOutcome, elapsed: Duration, state_bytes: usize) {
        let outcome = match outcome {
            CommitOutcome::Committed => "committed",
            CommitOutcome::Aborted => "aborted",
            CommitOutcome::Unknown => "unknown",
            CommitOutcome::Fenced => "fenced",
        };
        let label = OutcomeLabel { worker: self.label.worker.clone(), outcome };
        self.metrics.commits.get_or_create(&label).inc();
        self.metrics.commit_seconds.observe(elapsed.as_secs_f64());
        self.metrics.state_bytes.inc_by(state_bytes as u64);
    }

    /// The accounting of a partition as of the last commit.
    pub fn accounting(&self, topic: &str, partition: Partition, accounting: &Accounting) {
        let label = PartitionLabel { topic: topic.to_owned(), partition: partition.number };
        for (value, family) in &self.metrics.dispositions {
            family.get_or_create(&label).set(i64::try_from(value(accounting)).unwrap_or(i64::MAX));
        }
    }

    /// The worker no longer owns a partition.
    pub fn forget_accounting(&self, topic: &str, partition: Partition) {
        let label = PartitionLabel { topic: topic.to_owned(), partition: partition.number };
        for (_, family) in &self.metrics.dispositions {
            family.remove(&label);
        }
    }

    /// Sums of errors of every partition that the worker owns, as of its last commit.
    pub fn scores(&self, owned: impl Iterator<Item = (Partition, Vec<ScoreTotal>)>) {
        self.metrics.scores.set(&self.label.worker, owned);
    }
}
