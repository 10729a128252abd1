//! Reading partitions by their own queues, in batches: the one place with `unsafe` code.
//!
//! librdkafka hands a batch of messages of one partition over in one call, without a lock per message, from the
//! partition's own queue. The consumer's main queue must never be read that way: a batch read answers a rebalance that
//! it finds there with a forced unassign. So partition queues are cut off from the main queue before they are assigned,
//! and the main queue is only ever polled for events.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka_sys as sys;

use crate::payload::{Header, RawRows};

/// Most messages that one read takes.
const BATCH_MAX: usize = 8_192;

/// What a read found beside messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// The end of what is readable now: the offset that will be read next.
    End(i64),
    /// The offset asked for is gone.
    OffsetGone,
    /// Another error, in librdkafka's words.
    Failed(String),
}

/// The queue of one partition, cut off from the consumer's main queue.
pub(super) struct PartitionQueue {
    queue: *mut sys::rd_kafka_queue_t,
    buffer: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues may be used from any thread; this one is used from one at a time, through `&mut`.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Cuts a partition's queue off from the main queue. Call it before the partition is assigned. `None` where the
    /// topic's name holds a zero byte or librdkafka has no memory.
    pub(super) fn cut_off<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client outlives the call; the topic is a valid C string for its length.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition) };
        if queue.is_null() {
            return None;
        }
        // SAFETY: the queue is not null; forwarding to null stops forwarding.
        unsafe { sys::rd_kafka_queue_forward(queue, ptr::null_mut()) };
        Some(Self { queue, buffer: vec![ptr::null_mut(); BATCH_MAX] })
    }

    /// Appends what the queue holds, up to a batch, to `rows`, without waiting; returns what else was in it. Messages
    /// at or after `before` are dropped: `true` says that one was.
    pub(super) fn read(&mut self, rows: &mut RawRows, before: Option<i64>) -> (Vec<Notice>, bool) {
        // SAFETY: the buffer holds BATCH_MAX pointers; librdkafka writes at most that many.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue, 0, self.buffer.as_mut_ptr(), self.buffer.len()) };
        let (mut notices, mut beyond) = (Vec::new(), false);
        for message in &self.buffer[..usize::try_from(count).unwrap_or(0)] {
            // SAFETY: the call above filled these entries with messages that are ours until destroyed below.
            unsafe {
                let borrowed = &**message;
                match borrowed.err {
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                        if before.is_some_and(|end| borrowed.offset >= end) {
                            beyond = true;
                        } else {
                            push(rows, borrowed);
                        }
                    }
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                        notices.push(Notice::End(borrowed.offset));
                    }
                    sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
                    | sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                        notices.push(Notice::OffsetGone);
                    }
                    _ => notices.push(Notice::Failed(error_text(borrowed))),
                }
                sys::rd_kafka_message_destroy(*message);
            }
        }
        (notices, beyond)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue came from librdkafka and is destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

/// Copies one message, once.
///
/// # Safety
/// `message` must be a live message without error.
unsafe fn push(rows: &mut RawRows, message: &sys::rd_kafka_message_t) {
    // SAFETY: key and payload point to as many bytes as their lengths say, for as long as the message lives.
    unsafe {
        let bytes = |start: *mut std::ffi::c_void, len: usize| {
            (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), len))
        };
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let timestamp = sys::rd_kafka_message_timestamp(message, &raw mut kind);
        let timestamp = (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(timestamp);
        rows.push(message.offset, timestamp, bytes(message.key, message.key_len), bytes(message.payload, message.len));
        rows.set_headers(headers(message));
    }
}

/// # Safety
/// `message` must be a live message.
unsafe fn headers(message: &sys::rd_kafka_message_t) -> Vec<Header> {
    // SAFETY: librdkafka writes a pointer that lives as long as the message, and returns names and values inside it.
    unsafe {
        let mut native = ptr::null_mut();
        if sys::rd_kafka_message_headers(message, &raw mut native)
            != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Vec::new();
        }
        let mut found = Vec::new();
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        while sys::rd_kafka_header_get_all(native, found.len(), &raw mut name, &raw mut value, &raw mut len)
            == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let bytes =
                if value.is_null() { Vec::new() } else { std::slice::from_raw_parts(value.cast::<u8>(), len).to_vec() };
            found.push((CStr::from_ptr(name).to_string_lossy().into_owned(), bytes));
        }
        found
    }
}

/// # Safety
/// `message` must be a live message with an error.
unsafe fn error_text(message: &sys::rd_kafka_message_t) -> String {
    // SAFETY: both calls return static or message-owned C strings.
    unsafe {
        let text = sys::rd_kafka_message_errstr(message);
        let text = if text.is_null() { sys::rd_kafka_err2str(message.err) } else { text };
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// The newest end of a partition that the client heard of, without asking the broker.
pub(super) fn known_end<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: the client outlives the call and the two numbers are written before it returns.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}
