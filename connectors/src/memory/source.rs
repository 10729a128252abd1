//! Committed records of memory topics -> batches, alone or as a member of a group whose rebalances a test steers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::batching::Batching;
use super::broker::{Inner, MemoryBroker};
use super::group::GroupEvent;
use crate::position::Partition;
use crate::source::{GroupMetadata, OnGap, SeekTo, Source, SourceBatch, SourceError, SourceEvent, StartAt, Until};

/// Whether a reader shares its topics with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It owns every partition from the start; nobody takes them away.
    Alone,
    /// It owns what [`MemoryBroker::assign`] says. The name must be free in the group.
    Assigned(String),
    /// As `Assigned`, but whenever a member comes or goes, all partitions are spread over those that are there.
    Balanced(String),
}

/// What a [`MemorySource`] reads, and how.
#[derive(Debug, Clone)]
pub struct MemorySourceConfig {
    /// Topics in the order that [`Partition::topic`] counts them. They must exist.
    pub topics: Vec<String>,
    /// The group, whose members share `topics`; a ledger of the same group commits its offsets.
    pub group: String,
    /// Alone or a member. Default: alone.
    pub membership: Membership,
    /// Where a partition without a position starts. Default: earliest.
    pub start_at: StartAt,
    /// What to do where retention has deleted what was not read yet. Default: fail.
    pub on_gap: OnGap,
    /// How long to read. A topic with a [`super::MemoryFeed`] ends where its last sender is dropped. Default: for ever.
    pub until: Until,
    /// How rows are cut into batches.
    pub batching: Batching,
}

impl MemorySourceConfig {
    /// Reads one topic alone, from the earliest record, for ever.
    #[must_use]
    pub fn new(topic: &str, group: &str) -> Self {
        Self {
            topics: vec![topic.to_owned()],
            group: group.to_owned(),
            membership: Membership::Alone,
            start_at: StartAt::Earliest,
            on_gap: OnGap::Fail,
            until: Until::Forever,
            batching: Batching::default(),
        }
    }
}

/// Proof for [`super::MemoryLedger`] that a member owns what it commits.
#[derive(Debug, Clone)]
pub(super) struct MemberTerms {
    pub(super) member: String,
    pub(super) terms: BTreeMap<Partition, u64>,
}

/// How far one owned partition has been read.
#[derive(Debug)]
struct Reading {
    term: u64,
    /// Next offset; `None` before the first `seek`.
    position: Option<i64>,
    paused: bool,
    revoked: bool,
    /// `End` was reported since the last `seek`.
    ended: bool,
    /// Rows that a gap has cost, to be told with the next batch.
    skipped: u64,
}

/// A reader of a [`MemoryBroker`]. Dropping it is how a test crashes it: its partitions are free at once.
#[derive(Debug)]
pub struct MemorySource {
    broker: MemoryBroker,
    config: MemorySourceConfig,
    member: Option<String>,
    partitions: Vec<Partition>,
    owned: BTreeMap<Partition, Reading>,
    /// Ends captured when a partition was first assigned to this reader.
    ends: BTreeMap<Partition, i64>,
    /// Events of a reader that is alone.
    events: VecDeque<GroupEvent>,
}

impl MemorySource {
    /// Opens a reader; a member joins its group.
    ///
    /// # Errors
    /// [`SourceError::TopicMissing`]; [`SourceError::Config`] where the group reads other topics or has a member of
    /// that name.
    pub fn open(broker: &MemoryBroker, config: MemorySourceConfig) -> Result<Self, SourceError> {
        let mut inner = broker.lock();
        if let Some(topic) = config.topics.iter().find(|topic| !inner.topics.contains_key(*topic)) {
            return Err(SourceError::TopicMissing { topic: topic.clone(), brokers: "the memory broker".to_owned() });
        }
        let partitions = inner.partitions(&config.topics);
        let group = inner.group(&config.group);
        if group.topics.is_empty() {
            group.topics.clone_from(&config.topics);
        }
        if group.topics != config.topics {
            let reason = format!("reads the topics {:?}, not {:?}", group.topics, config.topics);
            return Err(SourceError::Config { what: format!("group `{}`", config.group), reason });
        }
        let mut events = VecDeque::new();
        let member = match &config.membership {
            Membership::Alone => {
                events.push_back(GroupEvent::Assigned(partitions.iter().map(|owned| (*owned, 0)).collect()));
                None
            }
            Membership::Assigned(member) | Membership::Balanced(member) => Some(member.clone()),
        };
        if let Some(name) = &member {
            let balanced = matches!(config.membership, Membership::Balanced(_));
            if !group.join(name, balanced, &partitions) {
                let what = format!("member `{name}` of group `{}`", config.group);
                return Err(SourceError::Config { what, reason: "is there already".to_owned() });
            }
        }
        broker.notify(&mut inner);
        drop(inner);
        let (owned, ends) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { broker: broker.clone(), config, member, partitions, owned, ends, events })
    }

    fn topic(&self, partition: Partition) -> &str {
        // Every partition this reader knows was made from the index of one of its topics.
        &self.config.topics[usize::from(partition.topic)]
    }

    fn reading(&mut self, partition: Partition) -> Result<&mut Reading, SourceError> {
        self.owned.get_mut(&partition).ok_or(SourceError::NotAssigned(partition))
    }

    fn set_paused(&mut self, partitions: &[Partition], paused: bool) -> Result<(), SourceError> {
        partitions.iter().try_for_each(|partition| self.reading(*partition).map(|reading| reading.paused = paused))
    }

    /// Whatever there is to tell at the moment.
    fn next_event(&mut self, inner: &mut Inner) -> Option<SourceEvent> {
        while let Some(event) = self.next_group_event(inner) {
            if let Some(told) = self.on_group_event(inner, event) {
                return Some(told);
            }
        }
        if inner.unreachable.is_some() {
            return None;
        }
        self.next_end(inner).or_else(|| self.next_batch(inner))
    }

    fn next_group_event(&mut self, inner: &mut Inner) -> Option<GroupEvent> {
        match &self.member {
            Some(member) => inner.group(&self.config.group).next_event(member),
            None => self.events.pop_front(),
        }
    }

    fn on_group_event(&mut self, inner: &Inner, event: GroupEvent) -> Option<SourceEvent> {
        match event {
            GroupEvent::Assigned(assigned) => {
                for (partition, term) in &assigned {
                    let fresh = Reading {
                        term: *term,
                        position: None,
                        paused: false,
                        revoked: false,
                        ended: false,
                        skipped: 0,
                    };
                    self.owned.insert(*partition, fresh);
                    self.capture_end(inner, *partition);
                }
                Some(SourceEvent::Assigned(assigned.into_iter().map(|(partition, _)| partition).collect()))
            }
            GroupEvent::Revoked(mut revoked) => {
                revoked.retain(|partition| self.owned.contains_key(partition));
                for partition in &revoked {
                    self.owned.entry(*partition).and_modify(|reading| reading.revoked = true);
                }
                (!revoked.is_empty()).then_some(SourceEvent::Revoked(revoked))
            }
            GroupEvent::Lost(mut lost) => {
                lost.retain(|partition| self.owned.remove(partition).is_some());
                (!lost.is_empty()).then_some(SourceEvent::Lost(lost))
            }
        }
    }

    fn capture_end(&mut self, inner: &Inner, partition: Partition) {
        let topic = inner.topics.get(self.topic(partition));
        let fed = topic.is_some_and(|found| found.feed.is_some());
        let log = topic.and_then(|found| found.logs.get(partition.number as usize));
        if let (Until::Latest, Some(log), false) = (self.config.until, log, fed) {
            self.ends.entry(partition).or_insert_with(|| log.stable_end());
        }
    }

    /// Where reading of a partition stops for good, where that is known.
    fn end(&self, inner: &Inner, partition: Partition) -> Option<i64> {
        if self.config.until == Until::Forever {
            return None;
        }
        let topic = inner.topics.get(self.topic(partition))?;
        match &topic.feed {
            Some(feed) if feed.senders > 0 => None,
            Some(_) => topic.logs.get(partition.number as usize).map(super::log::Log::stable_end),
            None => self.ends.get(&partition).copied(),
        }
    }

    /// Partitions that may deliver now, with position and limit.
    fn readable(&self, inner: &Inner) -> Vec<(Partition, i64, i64)> {
        let active = self.owned.iter().filter(|(_, reading)| !reading.paused && !reading.revoked);
        let seeked = active.filter_map(|(partition, reading)| Some((*partition, reading.position?)));
        seeked
            .map(|(partition, position)| (partition, position, self.end(inner, partition).unwrap_or(i64::MAX)))
            .collect()
    }

    fn next_end(&mut self, inner: &Inner) -> Option<SourceEvent> {
        let mut readable = self.readable(inner).into_iter();
        let (partition, ..) = readable.find(|(partition, position, limit)| {
            let ended = self.owned.get(partition).is_none_or(|reading| reading.ended);
            let rows_left = inner.log(self.topic(*partition), partition.number).ok();
            let rows_left = rows_left.and_then(|log| log.next_visible(*position, *limit)).is_some();
            !ended && *limit < i64::MAX && !rows_left
        })?;
        self.owned.entry(partition).and_modify(|reading| reading.ended = true);
        Some(SourceEvent::End(partition))
    }

    fn next_batch(&mut self, inner: &Inner) -> Option<SourceEvent> {
        let mut ready = self.readable(inner);
        ready.retain(|(partition, position, limit)| {
            let log = inner.log(self.topic(*partition), partition.number).ok();
            log.is_some_and(|log| log.next_visible(*position, *limit).is_some())
        });
        if ready.is_empty() {
            return None;
        }
        let (turn, rows_max) = self.config.batching.next(ready.len());
        let (partition, position, limit) = ready[turn];
        let log = inner.log(self.topic(partition), partition.number).ok()?;
        let (payload, next_offset) = log.read(position, limit, rows_max)?;
        let reading = self.owned.get_mut(&partition)?;
        reading.position = Some(next_offset);
        let skipped = std::mem::take(&mut reading.skipped);
        Some(SourceEvent::Batch(SourceBatch { partition, payload, next_offset, skipped }))
    }

    /// The offset that a seek leads to, and the rows that retention has taken on the way.
    fn target(&self, inner: &Inner, partition: Partition, to: SeekTo) -> Result<(i64, u64), SourceError> {
        let topic = self.topic(partition);
        let log = inner.log(topic, partition.number).map_err(|error| SourceError::Client {
            operation: "seek",
            reason: error.to_string(),
            transient: false,
        })?;
        match (to, self.config.start_at) {
            (SeekTo::Offset(wanted), _) if wanted < log.start() => match self.config.on_gap {
                OnGap::Skip => Ok((log.start(), (log.start() - wanted) as u64)),
                OnGap::Fail => {
                    let (number, earliest) = (partition.number, log.start());
                    Err(SourceError::Gap { topic: topic.to_owned(), partition: number, wanted, earliest })
                }
            },
            (SeekTo::Offset(wanted), _) => Ok((wanted, 0)),
            (SeekTo::Start, StartAt::Earliest) => Ok((log.start(), 0)),
            (SeekTo::Start, StartAt::Latest) => Ok((log.stable_end(), 0)),
            (SeekTo::Start, StartAt::Timestamp(timestamp_ms)) => Ok((log.offset_at(timestamp_ms), 0)),
        }
    }
}

impl Source for MemorySource {
    fn poll(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, SourceError> {
        let broker = self.broker.clone();
        let mut event = None;
        let waited = broker.wait_while(broker.lock(), timeout, |inner| {
            event = self.next_event(inner);
            event.is_none()
        });
        drop(waited);
        Ok(event)
    }

    fn start_of(&mut self, partition: Partition) -> Result<Option<i64>, SourceError> {
        self.target(&self.broker.lock(), partition, SeekTo::Start).map(|(offset, _)| Some(offset))
    }

    fn seek(&mut self, partition: Partition, to: SeekTo) -> Result<(), SourceError> {
        self.reading(partition)?;
        let (position, skipped) = self.target(&self.broker.lock(), partition, to)?;
        let reading = self.reading(partition)?;
        reading.position = Some(position);
        reading.ended = false;
        reading.skipped = skipped;
        Ok(())
    }

    fn release(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        let given_up = |partition: &Partition| {
            let revoked = self.owned.get(partition).is_some_and(|reading| reading.revoked);
            revoked.then(|| self.owned.remove(partition).map(|reading| (*partition, reading.term))).flatten()
        };
        let released: Vec<(Partition, u64)> = partitions.iter().filter_map(given_up).collect();
        if let Some(member) = &self.member {
            let mut inner = self.broker.lock();
            inner.group(&self.config.group).release(member, &released);
            self.broker.notify(&mut inner);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), SourceError> {
        self.set_paused(partitions, false)
    }

    fn lag_rows(&self) -> Vec<(Partition, u64)> {
        let inner = self.broker.lock();
        let seeked = self.owned.iter().filter_map(|(partition, reading)| Some((*partition, reading.position?)));
        let lag = seeked.filter_map(|(partition, position)| {
            let log = inner.log(self.topic(partition), partition.number).ok()?;
            Some((partition, log.visible_rows(position)))
        });
        lag.collect()
    }

    fn partition_counts(&mut self) -> Result<Vec<u32>, SourceError> {
        let mut counts = vec![0; self.config.topics.len()];
        self.partitions.iter().for_each(|partition| counts[usize::from(partition.topic)] += 1);
        Ok(counts)
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        let member = self.member.clone()?;
        let terms = self.owned.iter().map(|(partition, reading)| (*partition, reading.term)).collect();
        Some(GroupMetadata::new(MemberTerms { member, terms }))
    }

    fn connected(&self) -> Result<(), String> {
        self.broker.lock().unreachable.clone().map_or(Ok(()), Err)
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        if let Some(member) = &self.member {
            let mut inner = self.broker.lock();
            inner.group(&self.config.group).leave(member, &self.partitions);
            self.broker.notify(&mut inner);
        }
    }
}
