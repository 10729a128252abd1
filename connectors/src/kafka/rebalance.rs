//! librdkafka's group events -> a list that the source works off. Nothing is answered here, except while the source
//! closes: the worker first has to commit what it read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::log::ClientLog;

/// What the group decided; topics by name.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke {
        partitions: Vec<(String, i32)>,
        /// They are somebody else's already.
        lost: bool,
    },
}

/// The context of the source's consumer.
pub(super) struct SourceContext {
    log: Arc<ClientLog>,
    decided: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl SourceContext {
    pub(super) fn new(log: Arc<ClientLog>) -> Self {
        Self { log, decided: Mutex::new(VecDeque::new()), closing: AtomicBool::new(false) }
    }

    /// The oldest decision that was not worked off.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// From now on decisions are answered at once: nobody will work them off.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.log.statistics(json);
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            answer_closing(consumer, assign, list);
            return;
        }
        self.log.mark_up();
        let partitions = list.elements().iter().map(|part| (part.topic().to_owned(), part.partition())).collect();
        let decision = if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke { partitions, lost: consumer.assignment_lost() }
        };
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).push_back(decision);
    }
}

/// Takes nothing more and gives up what is asked for: an unanswered rebalance would keep the client from closing.
fn answer_closing(consumer: &BaseConsumer<SourceContext>, assign: bool, asked: &TopicPartitionList) {
    let answer = if assign {
        consumer.incremental_assign(&TopicPartitionList::new())
    } else {
        unassign_started(consumer, asked.elements().iter().map(|part| (part.topic(), part.partition())))
    };
    if let Err(error) = answer {
        tracing::debug!(%error, "answering a rebalance while closing");
    }
}

/// Gives up those of the partitions that were ever started: librdkafka refuses the whole list over one that was not.
/// This also answers a pending revocation.
pub(super) fn unassign_started<'a>(
    consumer: &BaseConsumer<SourceContext>,
    partitions: impl Iterator<Item = (&'a str, i32)>,
) -> Result<(), KafkaError> {
    let started = consumer.assignment()?;
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        if started.find_partition(topic, partition).is_some() {
            list.add_partition(topic, partition);
        }
    }
    consumer.incremental_unassign(&list)
}
