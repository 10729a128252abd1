//! A small deterministic model of the commit protocol: what a worker does with every event of its source and every
//! outcome of its ledger, so that outputs and state equal those of an undisturbed run.
//!
//! | what happens | what the worker does |
//! |---|---|
//! | `Assigned` | commits what is open, restores the new partitions alone, seeks to their committed offsets |
//! | `Batch` | begins if nothing is open, processes, appends outputs; now and then commits |
//! | `Revoked` | commits, then releases; where the commit did not succeed it releases all the same |
//! | `Lost` | aborts, forgets the lost partitions, restores and rewinds the others |
//! | `Committed` | goes on |
//! | `Aborted`, `Unknown` | throws the working state away, restores, rewinds to what is committed |
//! | `Fenced` | leaves without touching anything |
//! | a transient error of `begin` or `append` | aborts, restores, rewinds |
//! | a crash, anywhere | the next instance of the slot restores, as after `Assigned` |
//!
//! Under a seeded choice of faults, crashes, zombies, rebalances and batch boundaries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arterial_connectors::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, StateRecord};
use arterial_connectors::memory::{
    Batching, CommitFault, Faults, Membership, MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemoryRecord,
    MemorySource, MemorySourceConfig, Operation,
};
use arterial_connectors::payload::Payload;
use arterial_connectors::position::{Partition, Position};
use arterial_connectors::source::{SeekTo, Source, SourceBatch, SourceEvent};
use proptest::prelude::*;

const PARTITIONS: i32 = 3;
const KEYS: i64 = 12;
const ROWS: i64 = 120;
/// Every third row of a partition gives an output.
const OUTPUT_EVERY: i64 = 3;
const WORKERS: [&str; 2] = ["a", "b"];
/// State key of the count of rows; keys of sums are those of the rows.
const ROWS_KEY: &[u8] = b"#rows";

fn partition(number: i32) -> Partition {
    Partition { topic: 0, number }
}

/// The state of one partition: a running sum per key, and how many rows there were.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sums {
    next_offset: i64,
    rows: i64,
    sums: BTreeMap<Vec<u8>, i64>,
    changed: BTreeSet<Vec<u8>>,
}

impl Sums {
    fn restored(restored: &Restored) -> Self {
        let mut state = Self { next_offset: restored.next_offset.unwrap_or(0), ..Self::default() };
        for (key, value) in &restored.state {
            let number = i64::from_le_bytes(value.as_slice().try_into().unwrap());
            if key == ROWS_KEY { state.rows = number } else { _ = state.sums.insert(key.clone(), number) }
        }
        state
    }

    fn process(&mut self, batch: &SourceBatch, outputs: &mut Records) {
        let Payload::Raw(rows) = &batch.payload else { panic!("not raw") };
        for index in 0..rows.len() {
            let row = rows.row(index);
            assert!(row.offset >= self.next_offset, "a row was read twice");
            let (key, value) = (row.key.unwrap(), i64::from_le_bytes(row.value.unwrap().try_into().unwrap()));
            let sum = self.sums.entry(key.to_vec()).or_default();
            *sum += value;
            self.rows += 1;
            if self.rows % OUTPUT_EVERY == 0 {
                let text = format!("row {} sum {sum}", self.rows);
                outputs.push(0, Some(key), Some(text.as_bytes()), Vec::new());
            }
            self.changed.extend([key.to_vec(), ROWS_KEY.to_vec()]);
            self.next_offset = row.offset + 1;
        }
        self.next_offset = batch.next_offset;
    }

    fn changes(&self, partition: Partition) -> Vec<StateRecord> {
        let number = |key: &Vec<u8>| if key == ROWS_KEY { self.rows } else { self.sums[key] };
        let record = |key: &Vec<u8>| {
            let value = Some(number(key).to_le_bytes().to_vec());
            StateRecord { partition, key: key.clone(), value }
        };
        self.changed.iter().map(record).collect()
    }
}

/// How a worker treats a commit whose outcome is unknown. Two of the three are wrong, to prove that it shows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OnUnknown {
    Restore,
    TakeAsCommitted,
    TakeAsAborted,
}

/// The worker left: fenced. Somebody else may start the slot again.
struct Left;

struct Worker {
    source: MemorySource,
    ledger: MemoryLedger,
    owned: BTreeMap<Partition, Sums>,
    /// State at the last commit, for the wrong way of treating `Unknown`.
    before: BTreeMap<Partition, Sums>,
    open: bool,
    batches: u32,
    on_unknown: OnUnknown,
}

impl Worker {
    fn start(broker: &MemoryBroker, name: &str, seed: u64, faults: &Faults, on_unknown: OnUnknown) -> Self {
        let source = MemorySourceConfig {
            membership: Membership::Assigned(name.to_owned()),
            batching: Batching::seeded(seed, 9),
            ..MemorySourceConfig::new("in", "g")
        };
        let ledger = MemoryLedgerConfig { faults: faults.clone(), ..MemoryLedgerConfig::new("g", name, &["out"]) };
        Self {
            source: MemorySource::open(broker, source).unwrap(),
            ledger: MemoryLedger::open(broker, ledger).unwrap(),
            owned: BTreeMap::new(),
            before: BTreeMap::new(),
            open: false,
            batches: 0,
            on_unknown,
        }
    }

    /// One turn of the loop.
    fn step(&mut self) -> Result<(), Left> {
        match self.source.poll(Duration::ZERO).unwrap() {
            Some(SourceEvent::Assigned(partitions)) => {
                self.commit()?;
                self.restore(&partitions)
            }
            Some(SourceEvent::Batch(batch)) => {
                self.process(&batch)?;
                self.batches += 1;
                if self.batches.is_multiple_of(3) { self.commit() } else { Ok(()) }
            }
            Some(SourceEvent::Revoked(partitions)) => {
                self.commit()?;
                self.owned.retain(|owned, _| !partitions.contains(owned));
                self.source.release(&partitions).unwrap();
                Ok(())
            }
            Some(SourceEvent::Lost(partitions)) => {
                self.owned.retain(|owned, _| !partitions.contains(owned));
                self.recover()
            }
            Some(SourceEvent::End(_)) => Ok(()),
            None => self.commit(),
        }
    }

    fn process(&mut self, batch: &SourceBatch) -> Result<(), Left> {
        if !self.open {
            match self.ledger.begin() {
                Ok(()) => self.open = true,
                Err(error) => return self.give_up(&error),
            }
        }
        let mut outputs = Records::default();
        self.owned.get_mut(&batch.partition).unwrap().process(batch, &mut outputs);
        match self.ledger.append(&outputs) {
            Ok(()) => Ok(()),
            Err(error) => self.give_up(&error),
        }
    }

    /// After an error of begin or append: what was read since the last commit is read again.
    fn give_up(&mut self, error: &LedgerError) -> Result<(), Left> {
        match error {
            LedgerError::Fenced { .. } => Err(Left),
            transient if transient.transient() => self.recover(),
            permanent => panic!("{permanent}"),
        }
    }

    fn commit(&mut self) -> Result<(), Left> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        let moved = self.owned.iter().filter(|(_, state)| !state.changed.is_empty());
        let position = |(partition, state): (&Partition, &Sums)| Position {
            partition: *partition,
            next_offset: state.next_offset,
        };
        let positions: Vec<Position> = moved.map(position).collect();
        let state: Vec<StateRecord> = self.owned.iter().flat_map(|(owned, state)| state.changes(*owned)).collect();
        let group = self.source.group_metadata();
        let commit = Commit { positions: &positions, state: &mut state.iter().cloned(), group: group.as_ref() };
        match (self.ledger.commit(commit).unwrap(), self.on_unknown) {
            (CommitOutcome::Committed, _) => self.settle(),
            (CommitOutcome::Fenced, _) => return Err(Left),
            (CommitOutcome::Aborted, _) | (CommitOutcome::Unknown, OnUnknown::Restore) => return self.recover(),
            (CommitOutcome::Unknown, OnUnknown::TakeAsCommitted) => {
                self.restored(&[])?;
                self.settle();
            }
            (CommitOutcome::Unknown, OnUnknown::TakeAsAborted) => {
                self.restored(&[])?;
                self.owned.clone_from(&self.before);
                for (partition, state) in &self.owned {
                    self.source.seek(*partition, SeekTo::Offset(state.next_offset)).unwrap();
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.owned.values_mut().for_each(|state| state.changed.clear());
        self.before.clone_from(&self.owned);
    }

    /// Throws the working state away and goes back to what is committed.
    fn recover(&mut self) -> Result<(), Left> {
        if std::mem::take(&mut self.open) {
            // Restoring ends the transaction where aborting could not.
            if let Err(LedgerError::Fenced { .. }) = self.ledger.abort() {
                return Err(Left);
            }
        }
        let owned: Vec<Partition> = self.owned.keys().copied().collect();
        self.restore(&owned)
    }

    fn restore(&mut self, partitions: &[Partition]) -> Result<(), Left> {
        for restored in self.restored(partitions)? {
            let to = restored.next_offset.map_or(SeekTo::Start, SeekTo::Offset);
            self.source.seek(restored.partition, to).unwrap();
            self.owned.insert(restored.partition, Sums::restored(&restored));
        }
        self.before.clone_from(&self.owned);
        Ok(())
    }

    fn restored(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, Left> {
        loop {
            match self.ledger.restore(partitions) {
                Ok(restored) => return Ok(restored),
                Err(LedgerError::Fenced { .. }) => return Err(Left),
                Err(error) => assert!(error.transient(), "{error}"),
            }
        }
    }
}

/// What disturbs a run, one thing after the other.
#[derive(Debug, Clone)]
enum Action {
    Step(usize),
    /// A worker stalls: its session times out, another takes the partition over and gets on with it; then the
    /// worker wakes up and commits, before it hears of its loss.
    Stall(usize, i32),
    Crash(usize),
    /// Another process opens the worker's slot: the worker is a zombie from now on.
    TakeSlot(usize),
    Assign(usize, BTreeSet<i32>),
    Lose(usize, i32),
}

/// What is committed at the end: outputs by key in order, and state and offset of each partition.
#[derive(Debug, PartialEq)]
struct Outcome {
    outputs: BTreeMap<Vec<u8>, Vec<String>>,
    state: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    offsets: Vec<Option<i64>>,
}

struct Run {
    broker: MemoryBroker,
    workers: Vec<Option<Worker>>,
    faults: Faults,
    seed: u64,
    on_unknown: OnUnknown,
}

impl Run {
    fn new(seed: u64, faults: Faults, on_unknown: OnUnknown) -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic("in", PARTITIONS as u32).unwrap();
        broker.create_topic("out", 2).unwrap();
        for row in 0..ROWS {
            let key = format!("k{}", row * 7 % KEYS);
            broker.send("in", MemoryRecord::new(key, (row * row % 101).to_le_bytes())).unwrap();
        }
        Self { broker, workers: WORKERS.iter().map(|_| None).collect(), faults, seed, on_unknown }
    }

    /// Lets a worker take a turn; one that is not there starts.
    fn step(&mut self, index: usize) {
        self.seed += 1;
        let start = || Worker::start(&self.broker, WORKERS[index], self.seed, &self.faults, self.on_unknown);
        let worker = self.workers[index].get_or_insert_with(start);
        if worker.step().is_err() {
            self.workers[index] = None;
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Step(index) => self.step(*index),
            Action::Stall(index, number) => {
                let other = (index + 1) % WORKERS.len();
                self.broker.lose("g", WORKERS[*index], &[partition(*number)]);
                self.broker.assign("g", WORKERS[other], &[partition(*number)]);
                (0..6).for_each(|_| self.step(other));
                if self.workers[*index].as_mut().is_some_and(|worker| worker.commit().is_err()) {
                    self.workers[*index] = None;
                }
            }
            Action::Crash(index) => self.workers[*index] = None,
            Action::TakeSlot(index) => {
                MemoryLedger::open(&self.broker, MemoryLedgerConfig::new("g", WORKERS[*index], &["out"])).unwrap();
            }
            Action::Assign(index, numbers) => {
                let partitions: Vec<Partition> = numbers.iter().map(|number| partition(*number)).collect();
                self.broker.assign("g", WORKERS[*index], &partitions);
            }
            Action::Lose(index, number) => self.broker.lose("g", WORKERS[*index], &[partition(*number)]),
        }
    }

    /// Gives every partition an owner again and runs until all rows are committed.
    fn finish(mut self) -> Outcome {
        self.broker.assign("g", "a", &[partition(0), partition(2)]);
        self.broker.assign("g", "b", &[partition(1)]);
        let ends = self.broker.end_offsets("in").unwrap();
        let all = |broker: &MemoryBroker| {
            (0..).zip(&ends).all(|(number, end)| broker.committed_offset("g", partition(number)) == Some(*end))
        };
        // When all rows are committed, dead workers still have to start, so that what they left open is aborted.
        let mut rounds_left = 2_000;
        while rounds_left > 0 {
            rounds_left = if all(&self.broker) { rounds_left.min(20) } else { rounds_left } - 1;
            (0..WORKERS.len()).for_each(|index| self.step(index));
        }
        assert!(all(&self.broker), "the run did not come to its end");
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let mut outputs: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
        for record in self.broker.committed_records("out").unwrap() {
            let text = String::from_utf8(record.value.unwrap()).unwrap();
            outputs.entry(record.key.unwrap()).or_default().push(text);
        }
        let partitions = || (0..PARTITIONS).map(partition);
        Outcome {
            outputs,
            state: partitions().map(|one| self.broker.state("g", one)).collect(),
            offsets: partitions().map(|one| self.broker.committed_offset("g", one)).collect(),
        }
    }
}

fn undisturbed() -> Outcome {
    Run::new(0, Faults::none(), OnUnknown::Restore).finish()
}

/// What the run must give, computed without source and ledger.
fn by_hand() -> BTreeMap<Vec<u8>, Vec<String>> {
    let mut counts = BTreeMap::new();
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut outputs: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for row in 0..ROWS {
        let key = format!("k{}", row * 7 % KEYS);
        let number = arterial_connectors::position::partition_of_key(key.as_bytes(), PARTITIONS as u32);
        let rows = counts.entry(number).or_insert(0);
        *rows += 1;
        let sum = sums.entry(key.clone()).or_default();
        *sum += row * row % 101;
        if *rows % OUTPUT_EVERY == 0 {
            outputs.entry(key.into_bytes()).or_default().push(format!("row {rows} sum {sum}"));
        }
    }
    outputs
}

#[test]
fn undisturbed_run_gives_what_is_computed_by_hand() {
    let outcome = undisturbed();
    assert_eq!(outcome.outputs, by_hand());
    assert_eq!(outcome.offsets.iter().flatten().sum::<i64>(), ROWS);
}

#[test]
fn unknown_commit_taken_for_granted_loses_or_repeats_and_the_model_shows_it() {
    let expected = undisturbed();
    for (fault, on_unknown) in [
        (CommitFault::UnknownDropped, OnUnknown::TakeAsCommitted),
        (CommitFault::UnknownApplied, OnUnknown::TakeAsAborted),
    ] {
        let wrong = Run::new(0, Faults::none().commit(2, fault), on_unknown).finish();
        assert_ne!(wrong.outputs, expected.outputs, "{fault:?} taken as {on_unknown:?}");
        let right = Run::new(0, Faults::none().commit(2, fault), OnUnknown::Restore).finish();
        assert_eq!(right, expected);
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let worker = 0..WORKERS.len();
    let some_partitions = prop::collection::btree_set(0..PARTITIONS, 0..=PARTITIONS as usize);
    let action = prop_oneof![
        12 => worker.clone().prop_map(Action::Step),
        1 => (worker.clone(), 0..PARTITIONS).prop_map(|(index, number)| Action::Stall(index, number)),
        1 => worker.clone().prop_map(Action::Crash),
        1 => worker.clone().prop_map(Action::TakeSlot),
        2 => (worker.clone(), some_partitions).prop_map(|(index, numbers)| Action::Assign(index, numbers)),
        1 => (worker, 0..PARTITIONS).prop_map(|(index, number)| Action::Lose(index, number)),
    ];
    prop::collection::vec(action, 0..120)
}

fn faults() -> impl Strategy<Value = Vec<(u64, u8)>> {
    prop::collection::vec((1..25u64, 0..8u8), 0..10)
}

/// Each run needs its own plan: a plan counts.
fn plan(faults: &[(u64, u8)]) -> Faults {
    faults.iter().fold(Faults::none(), |plan, (nth, kind)| match kind {
        0 => plan.commit(*nth, CommitFault::Aborted),
        1 => plan.commit(*nth, CommitFault::UnknownApplied),
        2 => plan.commit(*nth, CommitFault::UnknownDropped),
        3 => plan.commit(*nth, CommitFault::Fenced),
        4 => plan.fail(Operation::Begin, *nth),
        5 => plan.fail(Operation::Append, *nth),
        6 => plan.fail(Operation::Abort, *nth),
        _ => plan.fail(Operation::Restore, *nth),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn outputs_and_state_equal_the_undisturbed_run_whatever_happens(
        seed in any::<u32>(),
        faults in faults(),
        actions in actions(),
    ) {
        let mut run = Run::new(u64::from(seed), plan(&faults), OnUnknown::Restore);
        run.broker.assign("g", "a", &[partition(0), partition(1), partition(2)]);
        actions.iter().for_each(|action| run.apply(action));
        prop_assert_eq!(run.finish(), undisturbed());
    }
}
