//! The dead-letter topic of a pipeline -> letters one by one, and those that are wanted -> back to the topic that they came
//! from, exactly once. Nothing is printed here.

use std::collections::BTreeSet;

use arterial_connectors::kafka::{KafkaLedger, KafkaSource};
use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records};
use arterial_connectors::payload::{Payload, RawRow};
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::{SeekTo, Source, SourceBatch, SourceError};

use super::error::PipelineError;
use super::wiring::{Visit, read_to_end};
use crate::stages::encode::DeadLetter;

/// A record of the dead-letter topic.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Key, value, headers, offset and timestamp.
    pub row: RawRow<'a>,
}

impl<'a> Letter<'a> {
    /// What its headers say; `None` for a record that no pipeline of Arterial wrote.
    #[must_use]
    pub fn says(&self) -> Option<DeadLetter<'a>> {
        DeadLetter::read(self.row.headers)
    }
}

/// Which letters are meant; an empty list of something means all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Codes of reasons.
    pub reasons: BTreeSet<String>,
    /// Names of stages.
    pub stages: BTreeSet<String>,
    /// Partitions of the dead-letter topic.
    pub partitions: BTreeSet<i32>,
    /// The broker's time of the letter, milliseconds since 1970 UTC: not before this.
    pub since_ms: Option<i64>,
    /// Before this.
    pub until_ms: Option<i64>,
}

impl LetterFilter {
    /// Whether a letter is meant. A record that is none has neither stage nor reason; one without time no time.
    #[must_use]
    pub fn takes(&self, letter: &Letter<'_>) -> bool {
        let among = |wanted: &BTreeSet<String>, found: &str| wanted.is_empty() || wanted.contains(found);
        let says = letter.says();
        let (stage, reason) = says.map_or(("", ""), |says| (says.stage, says.reason));
        let at = letter.row.broker_ts_ms;
        among(&self.stages, stage)
            && among(&self.reasons, reason)
            && (self.partitions.is_empty() || self.partitions.contains(&letter.partition))
            && self.since_ms.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until_ms.is_none_or(|until| at.is_some_and(|at| at < until))
    }
}

/// What is sent back, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Which letters.
    pub filter: LetterFilter,
    /// Another topic than the one that each came from.
    pub to: Option<String>,
    /// A row that was sent back so often stays where it is.
    pub replays_max: u32,
    /// Whether to begin at the oldest letter, wherever an earlier replay of the name ended.
    pub from_start: bool,
}

impl ReplayRequest {
    /// Names the replay: asked for again, it goes on where it ended; another one goes through the topic by itself.
    #[must_use]
    pub fn name(&self) -> String {
        let LetterFilter { reasons, stages, partitions, since_ms, until_ms } = &self.filter;
        let text = format!("{:?}", (reasons, stages, partitions, since_ms, until_ms, &self.to));
        blake3::hash(text.as_bytes()).to_hex().chars().take(8).collect()
    }
}

/// What became of the letters that had not been gone through before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Sent back.
    pub sent: u64,
    /// Left since the filter does not take them.
    pub filtered: u64,
    /// Left since they have been sent back as often as they may.
    pub exhausted: u64,
    /// Left since they are no letters of the pipeline, or come from no topic that it reads.
    pub foreign: u64,
}

/// Hands every letter to `take`, partition by partition in the order of offsets, until it answers `false`.
pub(super) struct Look<'a>(pub(super) &'a mut dyn FnMut(Letter<'_>) -> bool);

impl Visit<SourceError> for Look<'_> {
    fn batch(&mut self, _: &dyn Source, batch: &SourceBatch) -> Result<bool, SourceError> {
        Ok(letters(batch).all(|letter| (self.0)(letter)))
    }
}

fn letters(batch: &SourceBatch) -> impl Iterator<Item = Letter<'_>> {
    let rows = if let Payload::Raw(rows) = &batch.payload { Some(rows) } else { None };
    let letter = |row| Letter { partition: batch.partition.number, row };
    rows.into_iter().flat_map(|rows| (0..rows.len()).map(|index| rows.row(index))).map(letter)
}

/// A replay under way: a transaction for each batch of letters, with the position behind it.
pub(super) struct Replay<'a> {
    pub(super) request: &'a ReplayRequest,
    pub(super) pipeline: &'a str,
    pub(super) ledger: KafkaLedger,
    /// Topics that letters may go back to, in the order of the ledger's sinks.
    pub(super) topics: &'a [String],
    pub(super) summary: ReplaySummary,
    /// Told after every commit.
    pub(super) progress: &'a mut dyn FnMut(&ReplaySummary),
}

impl Replay<'_> {
    pub(super) fn run(mut self, source: &mut KafkaSource) -> Result<ReplaySummary, PipelineError> {
        read_to_end(source, "reading dead letters", &mut self)?;
        Ok(self.summary)
    }

    /// Where a letter goes and what it says; counts those that stay.
    fn route<'l>(&mut self, letter: &Letter<'l>) -> Option<(u16, DeadLetter<'l>)> {
        if !self.request.filter.takes(letter) {
            self.summary.filtered += 1;
            return None;
        }
        let sink = letter.says().filter(|says| says.pipeline == self.pipeline).and_then(|says| {
            let topic = self.request.to.as_deref().unwrap_or(says.topic);
            Some((u16::try_from(self.topics.iter().position(|known| known == topic)?).ok()?, says))
        });
        let Some((sink, says)) = sink else {
            self.summary.foreign += 1;
            return None;
        };
        if says.replays >= self.request.replays_max {
            self.summary.exhausted += 1;
            return None;
        }
        self.summary.sent += 1;
        Some((sink, says))
    }
}

impl Visit<PipelineError> for Replay<'_> {
    fn starts(&mut self, partitions: &[Partition]) -> Result<Vec<SeekTo>, PipelineError> {
        let restored = self.ledger.restore(partitions)?;
        let ended = |at: Option<i64>| at.filter(|_| !self.request.from_start).map_or(SeekTo::Start, SeekTo::Offset);
        Ok(restored.into_iter().map(|one| ended(one.next_offset)).collect())
    }

    fn batch(&mut self, source: &dyn Source, batch: &SourceBatch) -> Result<bool, PipelineError> {
        let mut records = Records::default();
        for letter in letters(batch) {
            let Some((sink, says)) = self.route(&letter) else { continue };
            records.push(sink, letter.row.key, letter.row.value, says.headers_to_replay());
            // Whoever wrote it may choose partitions by another hash: the row has to lie beside the others of its sensor.
            if self.request.to.is_none() {
                records.set_partition(says.partition);
            }
        }
        self.ledger.begin()?;
        self.ledger.append(&records)?;
        let positions = [Position { partition: batch.partition, next_offset: batch.next_offset }];
        let group = source.group_metadata();
        let commit = Commit { positions: &positions, state: &mut std::iter::empty(), group: group.as_ref() };
        match self.ledger.commit(commit)? {
            CommitOutcome::Committed => (self.progress)(&self.summary),
            CommitOutcome::Fenced => return Err(PipelineError::Fenced),
            outcome => {
                let reason = format!("it ended as {outcome:?}; start again: what was sent is not sent twice");
                return Err(LedgerError::Client { operation: "a commit", reason, transient: true }.into());
            }
        }
        Ok(true)
    }
}
