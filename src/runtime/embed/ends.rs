//! The two ends of an embedded pipeline as its worker sees them. When the worker is gone, so are they: outputs end, and
//! whoever waits for room in the feed is told.

use std::sync::Arc;

use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{MemoryBroker, MemoryLedger, MemoryLedgerConfig, MemorySource, MemorySourceConfig};
use arterial_connectors::source::{Source, SourceError, Until};

use super::output::{DeliveringLedger, Streams};
use crate::runtime::pipeline::Connect;
use crate::runtime::wiring::Wiring;
use crate::spec::PipelinePlan;

/// The topic that a feed is in memory.
pub(super) const FEED_TOPIC: &str = "feed";

/// Source and ledger of an embedded pipeline.
pub(super) struct Ends {
    pub(super) plan: Arc<PipelinePlan>,
    pub(super) wiring: Wiring,
    pub(super) memory: MemoryBroker,
    pub(super) streams: Arc<Streams>,
}

impl Connect for Ends {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        if self.plan.source.feed.is_none() {
            return self.wiring.source(slot, until);
        }
        let config = MemorySourceConfig { until, ..MemorySourceConfig::new(FEED_TOPIC, &self.plan.group()) };
        Ok(Box::new(MemorySource::open(&self.memory, config)?))
    }

    fn ledger(&self, slot: &str, partition_counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        if self.plan.source.kafka.is_some() {
            return self.wiring.ledger(slot, partition_counts);
        }
        let keeps_records = self.plan.ledger.is_some() || self.plan.sinks.folder().is_some();
        let inner: Box<dyn Ledger> = if keeps_records {
            self.wiring.ledger(slot, partition_counts)?
        } else {
            let config = MemoryLedgerConfig::new(&self.plan.group(), slot, &[]);
            Box::new(MemoryLedger::open(&self.memory, config)?)
        };
        let streams = Arc::clone(&self.streams);
        let (pending, unknown) = (Vec::new(), Vec::new());
        Ok(Box::new(DeliveringLedger { inner, keeps_records, streams, pending, unknown }))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if self.plan.source.feed.is_some() {
            self.memory.close_feed(FEED_TOPIC);
        }
    }
}
