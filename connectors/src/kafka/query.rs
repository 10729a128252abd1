//! Questions to the brokers: partition counts, ends, offsets of times. Each is tried until it is answered or its
//! time is up.

use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// How long a question may take altogether. A broker that restarts is usually back by then.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between tries that fail at once.
pub(super) const TRY_PAUSE: Duration = Duration::from_millis(50);

/// Repeats a question that failed for a reason that may pass.
pub(super) fn insist<T>(limit: Duration, mut ask: impl FnMut(Duration) -> KafkaResult<T>) -> KafkaResult<T> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(left.clamp(TRY_PAUSE, TRY_TIMEOUT)) {
            Ok(answer) => return Ok(answer),
            Err(error) if passing(&error) && left > TRY_PAUSE => std::thread::sleep(TRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error may pass by itself.
pub(super) fn passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(code) => !matches!(
            code,
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::InvalidTopic
                | Code::Fatal
                | Code::Fenced
                | Code::ProducerFenced
                | Code::FencedInstanceId
        ),
        None => false,
    }
}

/// Number of partitions of a topic; `None` where the brokers answer that it does not exist.
pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<u32>> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(u32::try_from(found.partitions().len()).ok()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// First offset and end of a partition, in the isolation of the consumer.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> KafkaResult<(i64, i64)> {
    insist(ANSWER_TIMEOUT, |timeout| consumer.fetch_watermarks(topic, partition, timeout))
}

/// What the consumer's group has committed of these partitions, in their order; `None` where nothing.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> KafkaResult<Vec<Option<i64>>> {
    let mut question = TopicPartitionList::new();
    partitions.for_each(|partition| {
        question.add_partition(topic, partition);
    });
    if question.count() == 0 {
        return Ok(Vec::new());
    }
    let answer = insist(ANSWER_TIMEOUT, |timeout| consumer.committed_offsets(question.clone(), timeout))?;
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    Ok(answer.elements().iter().map(|element| offset(element.offset())).collect())
}

/// The first offset whose timestamp is at or after `ts_ms`; `None` where every record is older.
pub(super) fn offset_of_time<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    ts_ms: i64,
) -> KafkaResult<Option<i64>> {
    insist(ANSWER_TIMEOUT, |timeout| {
        let mut question = TopicPartitionList::new();
        question.add_partition_offset(topic, partition, Offset::Offset(ts_ms))?;
        let answer = consumer.offsets_for_times(question, timeout)?;
        let elements = answer.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    })
}
