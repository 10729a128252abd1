//! A consumer group: who should own which partition, who does, and what each member has yet to hear of it.
//! Rebalances are cooperative: a partition goes to its new owner only after the old one has released it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::position::{Partition, Position};

/// What a member is told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupEvent {
    /// Owned from now on, each with the number of this ownership.
    Assigned(Vec<(Partition, u64)>),
    Revoked(Vec<Partition>),
    Lost(Vec<Partition>),
}

/// Who owns a partition, and the how-manieth ownership in the group it is: a later one of the same member differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) member: String,
    pub(super) term: u64,
}

/// What is durable of a partition, as the ledger wrote it.
#[derive(Debug, Clone, Default)]
pub(super) struct DurableState {
    pub(super) next_offset: Option<i64>,
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A group's members, ownership, offsets and state.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The topics that [`Partition::topic`] counts.
    pub(super) topics: Vec<String>,
    pub(super) committed: BTreeMap<Partition, i64>,
    pub(super) state: BTreeMap<Partition, DurableState>,
    members: BTreeMap<String, VecDeque<GroupEvent>>,
    targets: BTreeMap<Partition, String>,
    owners: BTreeMap<Partition, Owner>,
    revoking: BTreeSet<Partition>,
    term: u64,
    balanced: bool,
}

impl Group {
    /// Adds a member; `false` where one of that name is there already.
    pub(super) fn join(&mut self, member: &str, balanced: bool, partitions: &[Partition]) -> bool {
        if self.members.contains_key(member) {
            return false;
        }
        self.members.insert(member.to_owned(), VecDeque::new());
        self.balanced |= balanced;
        self.rebalance(partitions);
        true
    }

    /// Removes a member, without a word, as a crash does; what it was to own waits for it or for an assignment.
    pub(super) fn leave(&mut self, member: &str, partitions: &[Partition]) {
        self.members.remove(member);
        let gone: Vec<Partition> = self.owned_by(member).collect();
        for partition in gone {
            self.owners.remove(&partition);
            self.revoking.remove(&partition);
        }
        self.rebalance(partitions);
    }

    /// Says which partitions `member` is to own, now or when it joins. Others keep theirs.
    pub(super) fn assign(&mut self, member: &str, partitions: &[Partition]) {
        self.targets.retain(|_, target| target != member);
        self.targets.extend(partitions.iter().map(|partition| (*partition, member.to_owned())));
        self.settle();
    }

    /// Takes partitions away from `member` without asking. They belong to nobody until they are assigned again.
    pub(super) fn lose(&mut self, member: &str, partitions: &[Partition]) {
        let lost: Vec<Partition> =
            partitions.iter().filter(|lost| self.owned_by(member).any(|owned| owned == **lost)).copied().collect();
        for partition in &lost {
            self.owners.remove(partition);
            self.revoking.remove(partition);
            self.targets.remove(partition);
        }
        self.tell(member, GroupEvent::Lost(lost));
    }

    /// Gives up partitions after `Revoked`; those owned under another term are left alone.
    pub(super) fn release(&mut self, member: &str, partitions: &[(Partition, u64)]) {
        for (partition, term) in partitions {
            if self.owned(member, *partition, *term) {
                self.owners.remove(partition);
                self.revoking.remove(partition);
            }
        }
        self.settle();
    }

    /// Whether `member` owns the partition under that term: what a commit of its offset requires.
    pub(super) fn owned(&self, member: &str, partition: Partition, term: u64) -> bool {
        self.owners.get(&partition).is_some_and(|owner| owner.member == member && owner.term == term)
    }

    /// The owner of every owned partition.
    pub(super) fn owners(&self) -> impl Iterator<Item = (Partition, &Owner)> {
        self.owners.iter().map(|(partition, owner)| (*partition, owner))
    }

    /// The next thing `member` has to hear.
    pub(super) fn next_event(&mut self, member: &str) -> Option<GroupEvent> {
        self.members.get_mut(member)?.pop_front()
    }

    /// Makes positions durable in both places that have to agree: the group's offsets and the state.
    pub(super) fn commit(&mut self, positions: &[Position]) {
        for position in positions {
            self.committed.insert(position.partition, position.next_offset);
            self.state.entry(position.partition).or_default().next_offset = Some(position.next_offset);
        }
    }

    /// Spreads all partitions over the members that are there, in turn, where the group balances itself.
    fn rebalance(&mut self, partitions: &[Partition]) {
        let members: Vec<String> = self.members.keys().cloned().collect();
        if self.balanced && !members.is_empty() {
            let in_turn = members.iter().cycle();
            self.targets = partitions.iter().copied().zip(in_turn.cloned()).collect();
        }
        self.settle();
    }

    /// Moves ownership towards the targets, as far as it can go without anybody's release.
    fn settle(&mut self) {
        let mut revoked: BTreeMap<String, Vec<Partition>> = BTreeMap::new();
        for (partition, owner) in &self.owners {
            let stays = self.targets.get(partition) == Some(&owner.member);
            if !stays && self.revoking.insert(*partition) {
                revoked.entry(owner.member.clone()).or_default().push(*partition);
            }
        }
        let mut assigned: BTreeMap<String, Vec<(Partition, u64)>> = BTreeMap::new();
        for (partition, member) in &self.targets {
            if self.members.contains_key(member) && !self.owners.contains_key(partition) {
                self.term += 1;
                self.owners.insert(*partition, Owner { member: member.clone(), term: self.term });
                assigned.entry(member.clone()).or_default().push((*partition, self.term));
            }
        }
        for (member, partitions) in revoked {
            self.tell(&member, GroupEvent::Revoked(partitions));
        }
        for (member, partitions) in assigned {
            self.tell(&member, GroupEvent::Assigned(partitions));
        }
    }

    fn owned_by<'a>(&'a self, member: &'a str) -> impl Iterator<Item = Partition> + 'a {
        self.owners.iter().filter(move |(_, owner)| owner.member == member).map(|(partition, _)| *partition)
    }

    fn tell(&mut self, member: &str, event: GroupEvent) {
        let empty = match &event {
            GroupEvent::Assigned(partitions) => partitions.is_empty(),
            GroupEvent::Revoked(partitions) | GroupEvent::Lost(partitions) => partitions.is_empty(),
        };
        if let (Some(events), false) = (self.members.get_mut(member), empty) {
            events.push_back(event);
        }
    }
}
