//! Reading with `unsafe`: a partition's own queue in librdkafka -> batches of rows; a flush that returns as soon as it is
//! done.
//!
//! The safe client reads one message per call from the consumer's main queue, at three times the cost, and a batch
//! read of that queue would answer a rebalance with a forced unassign. So each partition's messages go to a queue of
//! its own, are taken from it thousands at a time, and are copied once into [`RawRows`]. Rebalances and errors stay
//! on the main queue, which the safe client polls.
//!
//! librdkafka's handles are thread-safe. Every handle here keeps its consumer alive, so that none outlives it.
#![allow(unsafe_code, reason = "partition queues and batch reads exist in librdkafka's C interface only")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::rebalance::SourceContext;
use crate::payload::{Header, RawRows};

type SourceConsumer = BaseConsumer<SourceContext>;

/// Wakes the worker when any of its queues turns from empty to non-empty.
#[derive(Default)]
pub(super) struct Wakeup {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wakeup {
    /// Called by librdkafka's threads, which may hold a queue's lock: never calls back.
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Forgets earlier rings. To be called before the queues are looked at: what arrives afterwards rings again.
    pub(super) fn reset(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits for a ring since the last [`Wakeup::reset`], at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken or not, the caller looks at the queues again.
        drop(self.bell.wait_timeout_while(rung, timeout, |rung| !*rung));
    }
}

unsafe extern "C" fn ring_wakeup(_client: *mut sys::rd_kafka_t, wakeup: *mut c_void) {
    // SAFETY: `PartitionQueue` registers a pointer into an `Arc` that it holds until it has unregistered it.
    unsafe { &*wakeup.cast::<Wakeup>() }.ring();
}

/// Something other than a row that stood in a partition's queue.
#[derive(Debug)]
pub(super) enum Mark {
    /// The partition ends here for now.
    End(i64),
    /// The fetch position is not in the partition (any more).
    OutOfRange,
    /// Another error of this partition.
    Failed(RDKafkaErrorCode, String),
}

/// What one batch read took.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) rows: RawRows,
    /// Whether a row at or beyond the upper bound was seen (and left out).
    pub(super) passed_bound: bool,
    pub(super) mark: Option<Mark>,
}

/// Messages that are asked for at once. librdkafka walks over them three times, and so do we: the operations around them,
/// some 300 bytes each, should stay in the second-level cache meanwhile.
const TAKE_MAX: usize = 1_000;

/// Room for the message pointers of one read, reused.
pub(super) struct MessageBuffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: the pointers are only read between a batch read and the return of the call that made it; none survives it.
unsafe impl Send for MessageBuffer {}

impl MessageBuffer {
    pub(super) fn new() -> Self {
        Self(vec![ptr::null_mut(); TAKE_MAX])
    }
}

/// The messages of one partition.
pub(super) struct PartitionQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    topic: CString,
    partition: i32,
    /// The partition alone, for asking librdkafka how far the application has read.
    place: TopicPartitionList,
    wakeup: Arc<Wakeup>,
    consumer: Arc<SourceConsumer>,
}

// SAFETY: librdkafka's queues may be used from any thread; everything else in it is `Send`.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Takes the partition's messages out of the main queue. To be called before the partition is assigned.
    /// `None` where librdkafka does not know the partition.
    pub(super) fn split(
        consumer: &Arc<SourceConsumer>,
        topic: &str,
        partition: i32,
        wakeup: &Arc<Wakeup>,
    ) -> Option<Self> {
        let name = CString::new(topic).ok()?;
        let mut place = TopicPartitionList::with_capacity(1);
        place.add_partition(topic, partition);
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive (`consumer`), the name is a C string.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) })?;
        let opaque = Arc::as_ptr(wakeup).cast::<c_void>().cast_mut();
        // SAFETY: the queue was just got; `opaque` stays valid until `drop` unregisters it, because `wakeup` is kept.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring_wakeup), opaque);
        }
        Some(Self { queue, topic: name, partition, place, wakeup: Arc::clone(wakeup), consumer: Arc::clone(consumer) })
    }

    /// Takes at most `limit` messages, without waiting. Rows below `from` are repetitions and left out, rows at or
    /// beyond `bound` as well. The second value tells how many messages there were: fewer than `limit` means that
    /// the queue is empty and its next message will ring.
    pub(super) fn take(
        &self,
        buffer: &mut MessageBuffer,
        limit: usize,
        row_bytes: usize,
        from: i64,
        bound: i64,
    ) -> (Taken, usize) {
        let mut taken = Taken { rows: RawRows::default(), passed_bound: false, mark: None };
        let mut count = 0;
        while count < limit {
            let room = (limit - count).min(buffer.0.len());
            // SAFETY: the queue is alive and the buffer has room for `room` pointers.
            let got = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, buffer.0.as_mut_ptr(), room) };
            let messages = &buffer.0[..usize::try_from(got).unwrap_or(0)];
            if count == 0 {
                let expected = if messages.len() < room { messages.len() } else { limit };
                // An eighth more than the last batch had: a buffer that is a few bytes short is moved to one twice as long.
                taken.rows.reserve(expected, expected * (row_bytes + row_bytes / 8 + 1));
            }
            for message in messages {
                // SAFETY: the first `got` pointers are messages that are ours until they are destroyed here; nothing
                // borrowed from a message outlives `push_message`.
                unsafe {
                    push_message(&mut taken, *message, from, bound);
                    sys::rd_kafka_message_destroy(*message);
                }
            }
            count += messages.len();
            if messages.len() < room {
                break;
            }
        }
        (taken, count)
    }

    /// The offset after the last one that `take` has consumed, transaction markers included; `None` before the
    /// first. Wrong by one after [`Mark::End`], until the next seek.
    pub(super) fn position(&self) -> Option<i64> {
        // SAFETY: the client is alive, the list is ours and holds one partition.
        let outcome = unsafe { sys::rd_kafka_position(self.consumer.client().native_ptr(), self.place.ptr()) };
        if outcome != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        match self.place.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// First offset and end of the partition as the last fetch reported them; `None` before it.
    pub(super) fn watermarks(&self) -> Option<(i64, i64)> {
        let (mut low, mut high) = (-1, -1);
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client is alive, the name is a C string, both results are ours.
        let outcome = unsafe {
            sys::rd_kafka_get_watermark_offsets(client, self.topic.as_ptr(), self.partition, &mut low, &mut high)
        };
        let known = outcome == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0 && high >= 0;
        known.then_some((low, high))
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: both calls take the queue's lock, so no callback runs once the first has returned; `wakeup` and
        // `consumer` are dropped after this.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
        self.wakeup.ring();
    }
}

/// Whether the consumer's main queue holds events that nobody has polled.
pub(super) fn has_events(consumer: &SourceConsumer) -> bool {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is alive; the handle is released before the call returns.
    unsafe {
        let Some(queue) = NonNull::new(sys::rd_kafka_queue_get_consumer(client)) else { return false };
        let length = sys::rd_kafka_queue_length(queue.as_ptr());
        sys::rd_kafka_queue_destroy(queue.as_ptr());
        length > 0
    }
}

/// Sends what is queued without lingering and waits until none of it is on its way, at most `timeout`; whether that
/// was achieved. The safe client's flush sleeps in steps of 100 ms. Failed deliveries count as on their way until
/// they are polled.
pub(super) fn flush<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive.
    let outcome = unsafe { sys::rd_kafka_flush(client.native_ptr(), timeout_ms) };
    outcome == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// # Safety
/// `message` must be a live message of librdkafka.
unsafe fn push_message(taken: &mut Taken, message: *const sys::rd_kafka_message_t, from: i64, bound: i64) {
    // SAFETY: the caller's promise.
    let fields = unsafe { &*message };
    if fields.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        // SAFETY: the caller's promise.
        taken.mark = Some(unsafe { mark_of(message, fields) });
        return;
    }
    if fields.offset < from {
        return;
    }
    if fields.offset >= bound {
        taken.passed_bound = true;
        return;
    }
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is live; key and payload are null or point to as many bytes as their lengths say.
    unsafe {
        let ts_ms = sys::rd_kafka_message_timestamp(message, &mut kind);
        let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let key = bytes_at(fields.key, fields.key_len);
        let value = bytes_at(fields.payload, fields.len);
        taken.rows.push(fields.offset, known.then_some(ts_ms), key, value);
        let mut headers = ptr::null_mut();
        let outcome = sys::rd_kafka_message_headers(message, &mut headers);
        if outcome == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            taken.rows.set_headers(copy_headers(headers));
        }
    }
}

/// # Safety
/// `message` must be a live message of librdkafka and `fields` its fields.
unsafe fn mark_of(message: *const sys::rd_kafka_message_t, fields: &sys::rd_kafka_message_t) -> Mark {
    match RDKafkaErrorCode::from(fields.err) {
        RDKafkaErrorCode::PartitionEOF => Mark::End(fields.offset),
        RDKafkaErrorCode::AutoOffsetReset => Mark::OutOfRange,
        code => {
            // SAFETY: the caller's promise; the text lives as long as the message.
            let text = unsafe { sys::rd_kafka_message_errstr(message) };
            let text = if text.is_null() {
                String::new()
            } else {
                // SAFETY: librdkafka's texts end with a zero byte.
                unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
            };
            Mark::Failed(code, text)
        }
    }
}

/// # Safety
/// `start` must be null or point to `length` bytes that live as long as the result is used.
unsafe fn bytes_at<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// # Safety
/// `headers` must be the headers of a live message.
unsafe fn copy_headers(headers: *const sys::rd_kafka_headers_t) -> Vec<Header> {
    let mut copied = Vec::new();
    loop {
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the caller's promise; an index past the end is answered with an error.
        let outcome =
            unsafe { sys::rd_kafka_header_get_all(headers, copied.len(), &mut name, &mut value, &mut length) };
        if outcome != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return copied;
        }
        // SAFETY: name and value belong to the live message.
        let (name, value) = unsafe { (CStr::from_ptr(name), bytes_at(value, length)) };
        copied.push((name.to_string_lossy().into_owned(), value.map(<[u8]>::to_vec)));
    }
}
