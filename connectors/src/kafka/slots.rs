//! Slots of workers: which of them live, who wrote what is undecided, which process holds one. Dead ones are shut out,
//! live ones never: theirs is an ordinary commit, and it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::groups::GroupInfo;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::Producer;

use super::changelog::{SLOT_HEADER, SLOTS_PARTITION, slot_key};
use super::config::Isolation;
use super::producer::RecordProducer;
use super::query;
use super::restore::{Extent, Reader, Restorer, close_apart, millis};
use crate::ledger::LedgerError;

/// How long a scan for the records of slots may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(20);

/// The transactional id of a worker's slot.
pub(super) fn transactional_id(group: &str, slot: &str) -> String {
    format!("{group}-{slot}")
}

impl Restorer<'_> {
    /// Takes over the transactional ids of those of the slots that have no member in the group: the broker then aborts
    /// what they left open.
    pub(super) fn shut_out(&self, reader: &Reader, mut slots: BTreeSet<String>) -> Result<(), LedgerError> {
        // What this slot itself had left open was ended when it was taken.
        slots.remove(self.slot);
        if slots.is_empty() {
            return Ok(());
        }
        let live = self.live_slots(reader)?;
        for slot in slots.difference(&live) {
            tracing::info!(slot, "shutting out a worker that has left the group");
            let id = transactional_id(self.group, slot);
            let config = self.connection.transactional_producer(&id, millis(self.transaction_timeout));
            let producer = RecordProducer::open(&config, self.log)?.shared();
            query::insist(query::ANSWER_TIMEOUT, |timeout| producer.init_transactions(timeout))
                .map_err(|error| self.failed("shutting out a dead worker", &error))?;
        }
        Ok(())
    }

    /// Shuts out the dead among those who wrote undecided records of a partition of the state topic.
    pub(super) fn shut_out_writers(
        &self,
        uncommitted: &Reader,
        number: i32,
        extent: Extent,
    ) -> Result<(), LedgerError> {
        let mut slots = BTreeSet::new();
        let from = BTreeMap::from([(number, extent.stable)]);
        let until = BTreeMap::from([(number, extent.high)]);
        self.scan(uncommitted, &from, &until, SCAN_TIMEOUT, |message| {
            let headers = message.headers();
            for header in headers.iter().flat_map(|headers| headers.iter()).filter(|header| header.key == SLOT_HEADER) {
                slots.insert(String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned());
            }
            Ok(())
        })?;
        self.shut_out(uncommitted, slots)
    }

    /// Slots whose workers are members of the group at the moment.
    fn live_slots(&self, reader: &Reader) -> Result<BTreeSet<String>, LedgerError> {
        let client = reader.client();
        let groups = query::insist(query::ANSWER_TIMEOUT, |timeout| client.fetch_group_list(Some(self.group), timeout))
            .map_err(|error| self.failed("asking for the group's members", &error))?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        let slots = members.filter_map(|member| self.connection.slot_of_member(member.client_id()));
        Ok(slots.map(str::to_owned).collect())
    }

    /// Which process took this slot last, as far as records of the state topic from offset `since` on tell. Undecided
    /// records count: their writer is there.
    pub(super) fn holder(&self, since: i64) -> Result<Option<String>, LedgerError> {
        let reader = self.reader(Isolation::Uncommitted)?;
        let (low, high) = query::watermarks(&reader, self.state_topic, SLOTS_PARTITION)
            .map_err(|error| self.failed("measuring the state", &error))?;
        let mut holder = None;
        let from = since.max(low);
        if from < high {
            let key = slot_key(self.slot);
            let (from, until) = ([(SLOTS_PARTITION, from)].into(), [(SLOTS_PARTITION, high)].into());
            self.scan(&reader, &from, &until, SCAN_TIMEOUT, |message| {
                if message.key() == Some(key.as_slice()) {
                    holder = message.payload().map(|process| String::from_utf8_lossy(process).into_owned());
                }
                Ok(())
            })?;
        }
        close_apart(vec![reader]);
        Ok(holder)
    }
}
