//! What librdkafka tells outside of calls: rebalances, errors, logs, whether brokers answer, failed deliveries.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;

/// A rebalance that librdkafka waits for an answer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
}

/// Collects what callbacks say, for the thread that polls.
#[derive(Default)]
pub(super) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    brokers: Mutex<Brokers>,
    failed_delivery: Mutex<Option<String>>,
    closing: AtomicBool,
}

/// Whether brokers answer.
#[derive(Default)]
struct Brokers {
    down: bool,
    last_error: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The oldest rebalance without an answer.
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        locked(&self.rebalances).pop_front()
    }

    /// From now on rebalances are answered at once: nobody polls for them any more.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// `Err` with the last error where no broker answers.
    pub(super) fn connected(&self) -> Result<(), String> {
        let brokers = locked(&self.brokers);
        if !brokers.down {
            return Ok(());
        }
        Err(brokers.last_error.clone().unwrap_or_else(|| "no broker answers".to_owned()))
    }

    /// The last error that the client reported by itself: why a login was refused, for one.
    pub(super) fn last_error(&self) -> Option<String> {
        locked(&self.brokers).last_error.clone()
    }

    /// The first delivery that failed since the last call.
    pub(super) fn take_failed_delivery(&self) -> Option<String> {
        locked(&self.failed_delivery).take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::info!(facility, "{message}"),
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut brokers = locked(&self.brokers);
        if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::AllBrokersDown) {
            if !brokers.down {
                tracing::warn!(reason, "no broker answers; trying again");
            }
            brokers.down = true;
            // What came before says more than "all brokers down".
            brokers.last_error.get_or_insert_with(|| reason.to_owned());
        } else {
            brokers.last_error = Some(reason.to_owned());
        }
    }

    fn stats(&self, statistics: Statistics) {
        let answers = statistics.brokers.values().any(|broker| broker.state == "UP");
        let mut brokers = locked(&self.brokers);
        if answers {
            if brokers.down {
                tracing::info!("brokers answer again");
            }
            *brokers = Brokers::default();
        } else if !statistics.brokers.is_empty() {
            brokers.down = true;
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Relaxed) {
            // Closing waits for the answer. There is nothing to be done about a refusal: the client is going away.
            let _ = match error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => consumer.incremental_assign(partitions),
                _ => consumer.incremental_unassign(partitions),
            };
            return;
        }
        let list = partitions.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect();
        let rebalance = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list),
            _ => Rebalance::Revoke(list),
        };
        // Answered later by the thread that polls: the worker commits first.
        locked(&self.rebalances).push_back(rebalance);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if let Err((error, message)) = result {
            let failed = format!("record for `{}`: {error}", message.topic());
            locked(&self.failed_delivery).get_or_insert(failed);
        }
    }
}
