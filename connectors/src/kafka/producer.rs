//! One producer: records go in, delivery failures are remembered, librdkafka's transaction errors become outcomes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header as WireHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::limits::STEP_GRACE;
use super::log::ClientLog;
use super::native;
use super::refusal::is_denial;
use crate::ledger::LedgerError;
use crate::payload::{Header, header_bytes};

/// What a record belongs to, carried through librdkafka: the index of its sink, or the state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Sink(u16),
    State,
}

const STATE_ORIGIN: usize = usize::MAX;

impl Origin {
    fn to_opaque(self) -> usize {
        match self {
            Self::Sink(index) => usize::from(index),
            Self::State => STATE_ORIGIN,
        }
    }

    fn of_opaque(opaque: usize) -> Self {
        u16::try_from(opaque).map_or(Self::State, Self::Sink)
    }
}

/// The first record that could not be delivered since the last [`RecordProducer::take_failure`].
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) origin: Origin,
    pub(super) code: Option<RDKafkaErrorCode>,
    pub(super) bytes: usize,
    pub(super) reason: String,
}

/// Context of every producer here.
pub(super) struct WriterContext {
    log: Arc<ClientLog>,
    failure: Mutex<Option<Failure>>,
}

impl ClientContext for WriterContext {
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

impl ProducerContext for WriterContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, origin: usize) {
        let Err((error, message)) = result else { return };
        // Records that an abort threw out of the queue did not fail.
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
            return;
        }
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| Failure {
            origin: Origin::of_opaque(origin),
            code,
            bytes: message.key_len() + message.payload_len(),
            reason: self.log.redact(&error.to_string()),
        });
    }
}

/// A record on its way to librdkafka.
pub(super) struct Outgoing<'a> {
    pub(super) origin: Origin,
    pub(super) topic: &'a str,
    /// Where the key does not decide.
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [Header],
    /// Milliseconds since 1970 UTC; the present unless given.
    pub(super) ts_ms: Option<i64>,
}

/// Why a record did not get into the queue.
#[derive(Debug)]
pub(super) enum SendError {
    TooLarge { bytes: usize },
    Fenced,
    Refused(KafkaError),
}

/// librdkafka's producer with bounded waits.
#[derive(Clone)]
pub(super) struct RecordProducer {
    inner: Arc<BaseProducer<WriterContext>>,
    message_bytes_max: usize,
    sent: u64,
}

/// Records between two looks at delivery reports.
const POLL_EVERY: u64 = 2_000;

/// librdkafka's own `message.max.bytes`, for a client that sets none.
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// How long one wait of a flush lasts before failed deliveries are collected.
const FLUSH_SLICE: Duration = Duration::from_millis(50);

/// How long one wait for room in a full queue lasts.
const FULL_QUEUE_NAP: Duration = Duration::from_millis(5);

impl RecordProducer {
    pub(super) fn open(config: &ClientConfig, log: &Arc<ClientLog>) -> Result<Self, LedgerError> {
        let context = WriterContext { log: Arc::clone(log), failure: Mutex::new(None) };
        let inner = config.create_with_context(context).map_err(|error| LedgerError::Client {
            operation: "opening a producer",
            reason: log.redact(&error.to_string()),
            transient: false,
        })?;
        let message_bytes_max =
            config.get("message.max.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(MESSAGE_BYTES_MAX);
        Ok(Self { inner: Arc::new(inner), message_bytes_max, sent: 0 })
    }

    pub(super) fn shared(&self) -> Arc<BaseProducer<WriterContext>> {
        Arc::clone(&self.inner)
    }

    /// Queues a record; waits while the queue is full. Queued records time out on their own, so the wait ends.
    pub(super) fn send(&mut self, outgoing: &Outgoing<'_>) -> Result<(), SendError> {
        let mut record = BaseRecord::with_opaque_to(outgoing.topic, outgoing.origin.to_opaque());
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.value;
        record.timestamp = outgoing.ts_ms;
        record.headers = (!outgoing.headers.is_empty()).then(|| wire_headers(outgoing.headers));
        loop {
            let (error, back) = match self.inner.send(record) {
                Ok(()) => break,
                Err(refused) => refused,
            };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => self.inner.poll(FULL_QUEUE_NAP),
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    return Err(SendError::TooLarge { bytes: size_of_record(outgoing) });
                }
                Some(RDKafkaErrorCode::Fenced) => return Err(SendError::Fenced),
                _ if self.fenced() => return Err(SendError::Fenced),
                _ => return Err(SendError::Refused(error)),
            }
            record = back;
        }
        self.sent += 1;
        if self.sent.is_multiple_of(POLL_EVERY) {
            self.inner.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Whether every queued record is delivered or has failed, waiting `patience` at most.
    pub(super) fn delivered(&self, patience: Duration) -> bool {
        if patience.is_zero() {
            self.collect_failures();
            return self.inner.in_flight_count() == 0;
        }
        self.flush(patience)
    }

    /// The largest record that librdkafka takes, bytes.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Waits until every queued record is delivered or has failed; false where `limit` passed first.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let flushed = native::flush(self.inner.client(), left.min(FLUSH_SLICE));
            self.collect_failures();
            if flushed || left.is_zero() {
                return flushed;
            }
        }
    }

    /// Serves every delivery report that waits.
    fn collect_failures(&self) {
        loop {
            let before = self.inner.in_flight_count();
            self.inner.poll(Duration::ZERO);
            if self.inner.in_flight_count() >= before {
                return;
            }
        }
    }

    /// The first failed delivery since the last call.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.inner.context().failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a delivery has failed since the last call of [`RecordProducer::take_failure`].
    pub(super) fn failed(&self) -> bool {
        self.inner.context().failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the broker has shut this producer out: another one has its transactional id, or its transaction timed
    /// out. librdkafka calls both by the same name.
    pub(super) fn fenced(&self) -> bool {
        self.inner.client().fatal_error().is_some_and(|(code, _)| is_fencing(code))
    }

    /// Throws out what is queued and what is on its way, outside transactions.
    pub(super) fn purge(&self) {
        self.inner.purge(PurgeConfig::default().queue().inflight());
        if !self.flush(PURGE_TIMEOUT) {
            tracing::warn!(records = self.inner.in_flight_count(), "purged records were not given back in time");
        }
        self.take_failure();
    }
}

/// How long purged records may take to be given back: it happens inside the process.
const PURGE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

fn size_of_record(outgoing: &Outgoing<'_>) -> usize {
    outgoing.key.map_or(0, <[u8]>::len) + outgoing.value.map_or(0, <[u8]>::len) + header_bytes(outgoing.headers)
}

fn wire_headers(headers: &[Header]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |wire, (key, value)| {
        wire.insert(WireHeader { key, value: value.as_ref() })
    })
}

/// How a step of a transaction failed, as far as the ledger has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepError {
    /// The broker has shut this producer out.
    Fenced,
    /// The transaction has to be aborted; nothing of it is visible.
    Abort(String),
    /// A permission is missing; nothing of it is visible.
    Denied(RDKafkaErrorCode),
    /// A record of the transaction was not delivered; nothing was asked for yet.
    Undelivered,
    /// Nobody knows, or the producer is of no more use.
    Unknown(String),
    /// The call did not come back: its client is of no more use, and nobody knows what became of it.
    Hung { step: &'static str, limit: Duration },
}

impl StepError {
    pub(super) fn of(error: &KafkaError) -> Self {
        let KafkaError::Transaction(native) = error else { return Self::Unknown(error.to_string()) };
        if is_fencing(native.code()) && native.is_fatal() {
            Self::Fenced
        } else if is_denial(native.code()) {
            Self::Denied(native.code())
        } else if native.txn_requires_abort() {
            Self::Abort(error.to_string())
        } else {
            Self::Unknown(error.to_string())
        }
    }
}

/// How long the caller's thread waits before it serves delivery reports again.
const WATCH_SLICE: Duration = Duration::from_millis(5);

/// What a call's thread tells.
enum Told<T> {
    /// It enters a step, which ends by then.
    Step(&'static str, Instant),
    Ended(Result<T, StepError>),
}

/// Where a call says how far it is.
pub(super) struct Steps<T>(Sender<Told<T>>);

impl<T> Steps<T> {
    /// The next call of librdkafka, which ends within `limit` by its own promise.
    pub(super) fn enter(&self, step: &'static str, limit: Duration) {
        // The receiver is gone only after the limit; nobody is interested then.
        let _ = self.0.send(Told::Step(step, Instant::now() + limit + STEP_GRACE));
    }
}

/// Calls of librdkafka on a thread of their own, given up on when one of them takes longer than it promised: see
/// [`super::limits`].
pub(super) struct Watched<T> {
    client: Arc<BaseProducer<WriterContext>>,
    told: Receiver<Told<T>>,
    step: &'static str,
    entered: Instant,
    deadline: Instant,
}

impl<T: Send + 'static> Watched<T> {
    pub(super) fn start(
        client: &Arc<BaseProducer<WriterContext>>,
        step: &'static str,
        limit: Duration,
        call: impl FnOnce(&BaseProducer<WriterContext>, &Steps<T>) -> Result<T, StepError> + Send + 'static,
    ) -> Result<Self, StepError> {
        let (sender, told) = std::sync::mpsc::channel();
        let entered = Instant::now();
        let theirs = Arc::clone(client);
        let thread = std::thread::Builder::new().name("kafka-commit".to_owned()).spawn(move || {
            let steps = Steps(sender);
            let outcome = call(&theirs, &steps);
            let _ = steps.0.send(Told::Ended(outcome));
        });
        match thread {
            Ok(_) => {
                Ok(Self { client: Arc::clone(client), told, step, entered, deadline: entered + limit + STEP_GRACE })
            }
            Err(error) => Err(StepError::Unknown(error.to_string())),
        }
    }

    /// What came of it; `None` where that is not known within `patience`. Delivery reports are served meanwhile: an abort
    /// waits until the records it threw out are reported.
    pub(super) fn outcome(&mut self, patience: Duration) -> Option<Result<T, StepError>> {
        let until = Instant::now() + patience;
        loop {
            let now = Instant::now();
            match self.told.recv_timeout(WATCH_SLICE.min(until.saturating_duration_since(now))) {
                Ok(Told::Ended(outcome)) => return Some(outcome),
                Ok(Told::Step(step, deadline)) => {
                    (self.step, self.entered, self.deadline) = (step, now, deadline);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => self.client.poll(Duration::ZERO),
                Err(RecvTimeoutError::Disconnected) => return Some(Err(self.hung())),
            }
            if now >= self.deadline {
                return Some(Err(self.hung()));
            }
            if now >= until {
                return None;
            }
        }
    }

    fn hung(&self) -> StepError {
        StepError::Hung { step: self.step, limit: self.deadline.saturating_duration_since(self.entered) }
    }
}

/// Runs one such call and waits for it.
pub(super) fn watched<T: Send + 'static>(
    client: &Arc<BaseProducer<WriterContext>>,
    step: &'static str,
    limit: Duration,
    call: impl FnOnce(&BaseProducer<WriterContext>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let mut call = Watched::start(client, step, limit, move |client, _| call(client))?;
    loop {
        if let Some(outcome) = call.outcome(limit) {
            return outcome;
        }
    }
}
