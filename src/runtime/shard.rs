//! All stages of one partition in the order the data flows, with their state.
//!
//! `decode, (late rows leave), clean, window, features, predict, alert, encode`. A shard is deterministic in the rows
//! it is given, at whatever boundaries they are cut into batches.

use std::sync::Arc;

use arterial_connectors::ledger::StateRecord;
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::SourceBatch;
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::control::{ControlRecord, FlushReason};
use super::error::PipelineError;
use super::models::Models;
use super::outputs::Outputs;
use super::summary::PartitionSummary;
use super::trace::Trace;
use super::transaction::Transaction;
use crate::observe::BatchReport;
use crate::spec::PipelinePlan;
use crate::stages::clean::{Cleaned, Cleaner, Replaced, ReplacedValues};
use crate::stages::custom::guarded;
use crate::stages::decode::{DecodeError, DecodePlan, Decoded, Decoder};
use crate::stages::predict::{ScoreRow, ScoreTotal};
use crate::stages::window::{Seam, Watermark, Windows};
use crate::state::{Accounting, BlockRecords, Blocks, Identity, digest_of_blocks};
use crate::vocab::{EventTime, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};

/// Step name of the shard's own block.
const STEP: &str = "partition";

/// Late rows of one batch that are worth a word: single ones are usual.
const LATE_TOLD_MIN: usize = 100;

/// What a shard keeps beside its stages' state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    next_offset: Option<i64>,
    accounting: Accounting,
    windows: u64,
    alerts: u64,
    /// What every stateful step's state was made with.
    identities: Vec<Identity>,
}

/// One partition at work.
pub(super) struct Shard {
    partition: Partition,
    decoder: Decoder,
    watermark: Watermark,
    /// Where the history ends that the state was handed over from.
    seam: Option<Seam>,
    cleaner: Cleaner,
    windows: Windows,
    models: Models,
    outputs: Outputs,
    progress: Progress,
    changed: bool,
    late_told: bool,
    /// Values that cleaning replaced since this shard was made, and whether it was told that they are most of a column.
    replaced: Replaced,
    replaced_told: bool,
    /// State blocks whose deletion the next commit writes: steps that were reset.
    reset: Vec<(String, u32)>,
    /// What passes between the stages, where a test looks on.
    pub(super) trace: Option<Trace>,
}

impl Shard {
    /// A shard as its last commit left it, less what `changes` resets; a fresh one where `blocks` is empty.
    pub(super) fn restore(
        plan: &Arc<PipelinePlan>,
        partition: Partition,
        next_offset: Option<i64>,
        mut blocks: Blocks,
        changes: &Changes,
    ) -> Result<Self, PipelineError> {
        let reset = changes.reset(&mut blocks);
        let mut progress = read_progress(&blocks)?.unwrap_or_default();
        progress.identities = plan.stateful_steps().iter().map(|step| step.identity.clone()).collect();
        if next_offset.is_some() {
            progress.next_offset = next_offset;
        }
        let mut shard = Self {
            partition,
            decoder: Decoder::new(Arc::clone(&plan.decode)),
            watermark: Watermark::new(&plan.window),
            seam: Seam::restore(&blocks)?,
            cleaner: Cleaner::restore(Arc::clone(&plan.clean), &blocks)?,
            windows: Windows::new(Arc::clone(&plan.window)),
            models: Models::restore(plan, &blocks)?,
            outputs: Outputs::new(plan, partition),
            progress,
            changed: !reset.is_empty() || changes.decisions().is_some(),
            late_told: false,
            replaced: Replaced::default(),
            replaced_told: false,
            reset,
            trace: None,
        };
        shard.watermark.restore(&blocks)?;
        shard.windows.restore(&blocks)?;
        for (step, labels) in shard.models.dropped() {
            tracing::warn!(
                step,
                labels,
                partition = partition.number,
                "the network stays as it was trained (`online: false`): what its state had learned since is dropped"
            );
        }
        Ok(shard)
    }

    fn write_state(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        writer.put(STEP, 0, to_block(&self.progress));
        // It was durable before the first row was read.
        if let Some(seam) = self.seam.as_ref().filter(|_| which == Snapshot::Full) {
            seam.write(writer);
        }
        self.watermark.snapshot(which, writer);
        self.cleaner.snapshot(which, writer);
        self.windows.snapshot(which, writer);
        self.models.snapshot(which, writer);
    }

    /// Reads payloads by another plan from now on.
    pub(super) fn decode_by(&mut self, plan: Arc<DecodePlan>) {
        self.decoder = Decoder::new(plan);
    }

    /// Takes one batch through every stage; outputs go to `transaction`, the last of them as records that are still to be
    /// handed over.
    pub(super) fn process(
        &mut self,
        batch: &SourceBatch,
        transaction: &mut Transaction,
    ) -> Result<BatchReport, PipelineError> {
        let mut report = BatchReport { rows: batch.payload.len() as u64, ..BatchReport::default() };
        let accounting = &mut self.progress.accounting;
        accounting.rows_in += report.rows;
        accounting.skipped += batch.skipped;

        let Decoded { rows, rejected, tombstones } = self.decoder.decode(&batch.payload)?;
        accounting.dead_letter_decode += rejected.len() as u64;
        accounting.filtered += tombstones.len() as u64;
        self.outputs.dead_letters(batch, &rejected, &mut report, transaction.records());

        let (rows, known) = match &self.seam {
            Some(seam) => seam.split(rows).map_err(DecodeError::from)?,
            None => (rows, Vec::new()),
        };
        accounting.duplicate += known.len() as u64;

        let advance = self.watermark.advance(&rows);
        let rows_decoded = rows.origin.len();
        let (rows, late) = advance.split(rows).map_err(DecodeError::from)?;
        accounting.late += late.len() as u64;
        self.outputs.late(batch, &late, transaction.records());
        self.tell_late(rows_decoded, late.len());

        let Cleaned { rows, rejected, filtered, duplicates, replaced } = self.cleaner.clean(rows)?;
        self.replaced.merge(&replaced);
        report.replaced = replaced;
        self.tell_replaced();
        let accounting = &mut self.progress.accounting;
        accounting.filtered += filtered.len() as u64;
        accounting.duplicate += duplicates.len() as u64;
        accounting.dead_letter_clean += rejected.len() as u64;
        self.outputs.dead_letters(batch, &rejected, &mut report, transaction.records());

        if let Some(trace) = &mut self.trace {
            trace.clean(&rows.batch);
        }
        let (models, outputs) = (&mut self.models, &mut self.outputs);
        let mut closing = Ok(());
        let refused = self.windows.push(&rows, &advance.crossings, &mut |keys, window| {
            if closing.is_ok() {
                closing = models.close(keys, window, (outputs, &mut self.trace), &mut report, transaction);
            }
        });
        closing?;
        let accounting = &mut self.progress.accounting;
        accounting.dead_letter_clean += refused.len() as u64;
        accounting.accepted += (rows.origin.len() - refused.len()) as u64;
        self.outputs.dead_letters(batch, &refused, &mut report, transaction.records());

        self.progress.next_offset = Some(batch.next_offset);
        self.count(&report);
        Ok(report)
    }

    /// Says once where most rows of a batch are late: one time that was far ahead makes all that follow late.
    fn tell_late(&mut self, rows: usize, late: usize) {
        if self.late_told || late < LATE_TOLD_MIN || late * 2 < rows {
            return;
        }
        self.late_told = true;
        let newest = self.newest().map(|newest| newest.to_string()).unwrap_or_default();
        tracing::warn!(
            partition = self.partition.number,
            late,
            rows,
            newest,
            "most rows are late: they are behind the newest time of their partition by more than `max_delay`. If that time \
             cannot be, a shorter `event_time.future_skew`, or `latest` for files, makes dead letters of such times, and \
             `--reset watermark` forgets it"
        );
    }

    /// Says once where most values of a column are outside its limits.
    fn tell_replaced(&mut self) {
        let most = |(_, step, counted): &(_, &str, ReplacedValues)| *step == "range" && counted.most();
        let Some((column, _, counted)) = self.replaced.iter().find(most).filter(|_| !self.replaced_told) else {
            return;
        };
        self.replaced_told = true;
        tracing::warn!(
            partition = self.partition.number,
            column = &**column,
            values = counted.values,
            replaced = counted.replaced,
            "most values of a column are outside the limits of `range`. If they are in another unit than the limits, \
             `- unit:` in front of it converts them; the summary and `arterial_clean_replaced_values` count every column"
        );
    }

    /// Closes the windows that are open although the watermark has not passed them, and logs the decision.
    pub(super) fn flush(
        &mut self,
        reason: FlushReason,
        decided_at: i64,
        transaction: &mut Transaction,
    ) -> Result<BatchReport, PipelineError> {
        let Some(flushed_until) = self.watermark.flush() else { return Ok(BatchReport::default()) };
        let decision = ControlRecord {
            reason,
            topic: self.outputs.topic().to_owned(),
            partition: self.partition.number,
            next_offset: self.position().map_or(0, |position| position.next_offset),
            flushed_until,
            decided_at,
        };
        self.close_by(&decision, transaction)
    }

    /// Closes the windows that an earlier run has decided to close here.
    pub(super) fn follow(
        &mut self,
        decision: &ControlRecord,
        transaction: &mut Transaction,
    ) -> Result<BatchReport, PipelineError> {
        match self.watermark.flush_to(decision.flushed_until) {
            Some(_) => self.close_by(decision, transaction),
            None => Ok(BatchReport::default()),
        }
    }

    fn close_by(
        &mut self,
        decision: &ControlRecord,
        transaction: &mut Transaction,
    ) -> Result<BatchReport, PipelineError> {
        let mut report = BatchReport::default();
        let (models, outputs) = (&mut self.models, &mut self.outputs);
        let mut closing = Ok(());
        self.windows.close_until(decision.flushed_until, &mut |keys, window| {
            if closing.is_ok() {
                closing = models.close(keys, window, (outputs, &mut self.trace), &mut report, transaction);
            }
        });
        closing?;
        // Nobody knows when more will come, so the day is told as far as it has come; told again, it is fuller.
        self.outputs.scores(&self.models.open_days(), transaction.records());
        self.outputs.control(decision, transaction.records());
        self.count(&report);
        Ok(report)
    }

    fn count(&mut self, report: &BatchReport) {
        self.progress.windows += report.windows;
        self.progress.alerts += report.alerts;
        self.changed = true;
    }

    /// Does ahead what the next window needs in any case. The state stays as it is.
    pub(super) fn prepare(&mut self) {
        let partition = self.partition.number;
        guarded(|| format!("partition {partition}"), || self.models.prepare());
    }

    /// The source has no more rows; where it never had any, the partition begins and ends at offset 0.
    pub(super) fn note_end(&mut self) {
        if self.progress.next_offset.is_none() {
            self.progress.next_offset = Some(0);
            self.changed = true;
        }
    }

    /// Whether there is anything to commit.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// The state that changed since the last call. Where its commit does not succeed, the shard is thrown away.
    pub(super) fn save(&mut self) -> Vec<StateRecord> {
        self.changed = false;
        let mut records = Vec::new();
        let mut writer = BlockRecords::new(self.partition, &mut records);
        for (step, block) in self.reset.drain(..) {
            writer.delete(&step, block);
        }
        let partition = self.partition.number;
        guarded(|| format!("partition {partition}"), || self.write_state(Snapshot::Changed, &mut writer));
        records
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.progress.next_offset.map(|next_offset| Position { partition: self.partition, next_offset })
    }

    pub(super) fn partition(&self) -> Partition {
        self.partition
    }

    pub(super) fn accounting(&self) -> &Accounting {
        &self.progress.accounting
    }

    /// Largest event time seen.
    pub(super) fn newest(&self) -> Option<EventTime> {
        self.watermark.newest()
    }

    pub(super) fn score_totals(&self) -> Vec<ScoreTotal> {
        self.models.score_totals()
    }

    /// Scores of the days that are not over.
    pub(super) fn open_days(&self) -> Vec<ScoreRow> {
        self.models.open_days()
    }

    pub(super) fn summary(&mut self) -> PartitionSummary {
        let mut blocks = Blocks::default();
        self.write_state(Snapshot::Full, &mut blocks);
        PartitionSummary {
            next_offset: self.progress.next_offset,
            accounting: self.progress.accounting,
            windows: self.progress.windows,
            alerts: self.progress.alerts,
            replaced: self.replaced.clone(),
            digest: digest_of_blocks(&blocks),
        }
    }
}

fn read_progress(blocks: &Blocks) -> Result<Option<Progress>, StateError> {
    blocks.blocks(STEP).next().map(|(block, bytes)| from_block(STEP, block, bytes)).transpose()
}

/// What the saved state was made with, and whether it was made of no row at all; `None` where nothing was saved.
pub(super) fn saved_identities(blocks: &Blocks) -> Result<Option<(Vec<Identity>, bool)>, StateError> {
    let of =
        |Progress { identities, accounting, .. }| (identities, accounting.rows_in == accounting.dead_letter_decode);
    Ok(read_progress(blocks)?.map(of))
}
