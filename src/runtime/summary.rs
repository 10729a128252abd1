//! What a run did: numbers for people and for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use arterial_connectors::position::Partition;

use super::shard::Shard;
use crate::stages::clean::Replaced;
use crate::stages::predict::{ScoreRow, ScoreTotal, merge_totals};
use crate::state::{Accounting, Digest, combine};

/// Most days of a partition whose scores a run's summary holds, the newest: a year and a month. The topic has them all.
const DAYS_MAX: usize = 400;

/// Scores by day since 1970-01-01 UTC.
type Days = BTreeMap<i32, Vec<ScoreTotal>>;

/// What one worker did.
#[derive(Debug, Default)]
pub(crate) struct WorkerSummary {
    pub(crate) partitions: BTreeMap<Partition, PartitionSummary>,
    pub(crate) scores: BTreeMap<Partition, Vec<ScoreTotal>>,
    days: BTreeMap<Partition, Days>,
    /// Rows of a partition, and those of them that were dead letters, that its state told of when this worker first took it.
    rows_before: BTreeMap<Partition, [u64; 2]>,
    pub(crate) commits: u64,
    pub(crate) rewinds: u64,
    /// Whether it left since everything was read, and not since it was told to.
    pub(crate) reached_end: bool,
}

/// The state of one partition at the end of a run.
#[derive(Debug, Clone)]
pub struct PartitionSummary {
    /// Next offset to read.
    pub next_offset: Option<i64>,
    /// Rows by what became of them, since the pipeline's first start.
    pub accounting: Accounting,
    /// Closed windows, one per key that is live in it, empty ones included, since the pipeline's first start.
    pub windows: u64,
    /// Alert changes since the pipeline's first start.
    pub alerts: u64,
    /// Values that cleaning replaced, since this run took the partition or last went back to its last commit.
    pub replaced: Replaced,
    /// Digest of the partition's canonical state.
    pub digest: Digest,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Partitions owned at the end, by topic index and number.
    pub partitions: BTreeMap<Partition, PartitionSummary>,
    /// Scores per predictor, model and horizon over all partitions, since the pipeline's first start.
    pub scores: Vec<ScoreTotal>,
    /// Scores by day of the forecasts, since 1970-01-01 UTC, over all partitions: of the days that ended in this run and
    /// of those that are not over, the newest 400 of each partition.
    pub days: BTreeMap<i32, Vec<ScoreTotal>>,
    /// Rows of these partitions that earlier runs had read.
    pub rows_before: u64,
    /// Those of them that were dead letters.
    pub dead_letters_before: u64,
    /// Whether a bounded run read everything that there was at its start; false where it was stopped before.
    pub reached_end: bool,
    /// Commits made.
    pub commits: u64,
    /// Times the run went back to its last commit.
    pub rewinds: u64,
    /// Wall time of the run.
    pub elapsed: Duration,
}

impl WorkerSummary {
    /// Notes what a partition's state tells when it is taken; what it tells after a rewind is of this run.
    pub(super) fn taken(&mut self, shard: &Shard) {
        self.rows_before
            .entry(shard.partition())
            .or_insert_with(|| [shard.accounting().rows_in, shard.accounting().dead_letter()]);
    }

    pub(super) fn add_partition(&mut self, shard: &mut Shard) {
        self.partitions.insert(shard.partition(), shard.summary());
        self.scores.insert(shard.partition(), shard.score_totals());
        self.add_days(shard.partition(), shard.open_days());
    }

    /// Notes days of a partition. A day that is known is replaced: after a rewind it comes again, and no less full.
    pub(super) fn add_days(&mut self, partition: Partition, rows: Vec<ScoreRow>) {
        for row in rows {
            add_day(self.days.entry(partition).or_default(), row.day, row.into());
        }
    }
}

impl RunSummary {
    /// Puts the workers' parts together. A partition that moved from one worker to another is in both: the one that
    /// read further counts.
    pub(crate) fn of(workers: Vec<WorkerSummary>, elapsed: Duration) -> Self {
        let mut whole = WorkerSummary { reached_end: !workers.is_empty(), ..WorkerSummary::default() };
        for worker in workers {
            whole.reached_end &= worker.reached_end;
            whole.commits += worker.commits;
            whole.rewinds += worker.rewinds;
            for (partition, rows) in worker.rows_before {
                // Both only ever grow.
                whole.rows_before.entry(partition).and_modify(|least| *least = rows.min(*least)).or_insert(rows);
            }
            for (partition, days) in worker.days {
                let known = whole.days.entry(partition).or_default();
                for (day, total) in days.into_iter().flat_map(|(day, of)| of.into_iter().map(move |total| (day, total)))
                {
                    add_day(known, day, total);
                }
            }
            for (partition, summary) in worker.partitions {
                let known = whole.partitions.get(&partition).and_then(|known| known.next_offset);
                if known.is_none() || known <= summary.next_offset {
                    whole.scores.insert(partition, worker.scores.get(&partition).cloned().unwrap_or_default());
                    whole.partitions.insert(partition, summary);
                }
            }
        }
        let known = || whole.partitions.keys().filter_map(|partition| whole.rows_before.get(partition));
        let [rows_before, dead_letters_before] = [0, 1].map(|of| known().map(|rows| rows[of]).sum());
        Self {
            scores: whole.scores.into_values().fold(Vec::new(), |mut sum, part| {
                merge_totals(&mut sum, &part);
                sum
            }),
            days: add_up(whole.days),
            rows_before,
            dead_letters_before,
            partitions: whole.partitions,
            reached_end: whole.reached_end,
            commits: whole.commits,
            rewinds: whole.rewinds,
            elapsed,
        }
    }

    /// Rows of all partitions by what became of them.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        let mut total = Accounting::default();
        for partition in self.partitions.values() {
            total += partition.accounting;
        }
        total
    }

    /// Rows that this run read.
    #[must_use]
    pub fn rows_now(&self) -> u64 {
        self.accounting().rows_in.saturating_sub(self.rows_before)
    }

    /// Closed windows of all partitions.
    #[must_use]
    pub fn windows(&self) -> u64 {
        self.partitions.values().map(|partition| partition.windows).sum()
    }

    /// Alert changes of all partitions.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        self.partitions.values().map(|partition| partition.alerts).sum()
    }

    /// Values that cleaning replaced in this run.
    #[must_use]
    pub fn replaced(&self) -> Replaced {
        let mut sum = Replaced::default();
        self.partitions.values().for_each(|partition| sum.merge(&partition.replaced));
        sum
    }

    /// Labels that models refused in order to stay sound, of keys that are still known: 0 for sane input.
    #[must_use]
    pub fn refused_labels(&self) -> u64 {
        self.scores.iter().map(|score| score.refused).sum()
    }

    /// Digest of the whole state.
    #[must_use]
    pub fn digest(&self) -> Digest {
        combine(self.partitions.values().map(|partition| partition.digest))
    }
}

/// Puts a day's sums of one model in, or in the place of less full ones.
fn add_day(days: &mut Days, day: i32, total: ScoreTotal) {
    let of_day = days.entry(day).or_default();
    match of_day.iter_mut().find(|known| known.same_series(&total)) {
        Some(known) if known.sums.count <= total.sums.count => *known = total,
        Some(_) => {}
        None => of_day.push(total),
    }
    while days.len() > DAYS_MAX {
        days.pop_first();
    }
}

/// Each day over all partitions, in their order.
fn add_up(partitions: BTreeMap<Partition, Days>) -> Days {
    let mut sum = Days::new();
    for (day, totals) in partitions.into_values().flatten() {
        merge_totals(sum.entry(day).or_default(), &totals);
    }
    sum
}
