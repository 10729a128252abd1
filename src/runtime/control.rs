//! Decisions that depend on the wall clock or on the end of a bounded run, as records: the control log. They ride in
//! the same transaction as what they caused, so that a replay can read them instead of taking them again.

use std::collections::BTreeMap;

use arterial_connectors::position::Partition;
use arterial_connectors::source::SourceBatch;
use serde::{Deserialize, Serialize};

use crate::spec::PipelinePlan;
use crate::vocab::EventTime;

/// Why windows were closed although the watermark had not passed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlushReason {
    /// The partition was silent for `idle_after`.
    Idle,
    /// A bounded run reached the partition's captured end.
    End,
}

/// One decision, anchored to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// What was decided: windows were flushed.
    pub reason: FlushReason,
    /// Name of the topic: its place in the pipeline file may change.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The decision falls before the row at this offset.
    pub next_offset: i64,
    /// Windows that end at or before this were closed, microseconds since 1970 UTC.
    pub flushed_until: EventTime,
    /// When it was decided by the wall clock, microseconds since 1970 UTC.
    pub decided_at: i64,
}

/// The decisions of an earlier run, to be read instead of taken again.
#[derive(Debug, Clone, Default)]
pub struct ControlLog {
    decisions: BTreeMap<Partition, Vec<ControlRecord>>,
}

impl ControlLog {
    /// The decisions, in whatever order, about the topics that a plan reads. Those about other topics are left out with a
    /// warning.
    #[must_use]
    pub fn new(plan: &PipelinePlan, records: impl IntoIterator<Item = ControlRecord>) -> Self {
        let mut log = Self::default();
        let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
        for record in records {
            let Some(topic) = plan.topic_index(&record.topic) else {
                *unknown.entry(record.topic).or_default() += 1;
                continue;
            };
            let partition = Partition { topic, number: record.partition };
            log.decisions.entry(partition).or_default().push(record);
        }
        for decisions in log.decisions.values_mut() {
            decisions.sort_by_key(|decision| (decision.next_offset, decision.flushed_until));
        }
        for (topic, decisions) in unknown {
            tracing::warn!(topic, decisions, "the control log decided about a topic that the pipeline does not read");
        }
        log
    }

    /// Number of decisions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.decisions.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// Cuts a batch at the decisions that fall into it: each piece is followed by the decision at its end, if any.
    /// `position`: where the partition stands. A decision at or before it was followed already.
    pub(super) fn cut(&self, position: i64, mut batch: SourceBatch) -> Vec<(SourceBatch, Option<&ControlRecord>)> {
        let mut pieces = Vec::new();
        for decision in self.decisions.get(&batch.partition).into_iter().flatten() {
            if decision.next_offset <= position || decision.next_offset > batch.next_offset {
                continue;
            }
            let (before, after) = batch.split_at(decision.next_offset);
            pieces.push((before, Some(decision)));
            batch = after;
        }
        if !batch.payload.is_empty() || pieces.is_empty() {
            pieces.push((batch, None));
        }
        pieces
    }
}
