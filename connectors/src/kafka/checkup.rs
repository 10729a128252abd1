//! What a pipeline needs of its brokers -> whether it is there: login, topics, permissions, clock. Changes nothing: asks,
//! or asks for what the brokers refuse after they have looked at the permission.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::config::Isolation;
use super::describe::{self, Allowed};
use super::ledger::KafkaLedgerConfig;
use super::log::PlainContext;
use super::producer::RecordProducer;
use super::query;
use super::refusal::is_denial;
use super::slots::transactional_id;
use super::topics::{Administrator, CreateTopic, keeps_state, state_topic_settings};
use crate::access::AccessError;
use crate::ledger::LedgerError;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The pipeline can run, but somebody should look.
    Warn,
    /// The pipeline cannot run.
    Fail,
}

/// One check and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `versions`, `brokers`, `topic`, `permission`, `clock`, `input`, `output`, `disk`.
    pub check: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding that needs nothing done.
    #[must_use]
    pub fn ok(check: &'static str, message: String) -> Self {
        Self { check, verdict: Verdict::Ok, message, remedy: None }
    }

    /// Something that somebody should look at.
    #[must_use]
    pub fn warn(check: &'static str, message: String, remedy: String) -> Self {
        Self { check, verdict: Verdict::Warn, message, remedy: Some(remedy) }
    }

    /// Something that keeps the pipeline from running.
    #[must_use]
    pub fn fail(check: &'static str, message: String, remedy: String) -> Self {
        Self { check, verdict: Verdict::Fail, message, remedy: Some(remedy) }
    }
}

/// The present and how far records may be ahead of it, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// Milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// How far the newest record may be ahead.
    pub ahead_ms_max: i64,
}

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A transaction time-out that no broker accepts: they look at the permission first, and then write nothing.
const REFUSED_TIMEOUT_MS: u64 = i32::MAX as u64;

/// Checks everything that a worker with these settings would need. Takes some seconds; where the brokers do not let us
/// in, that is the last finding.
#[must_use]
pub fn check_up(config: &KafkaLedgerConfig, present: Present) -> Vec<Finding> {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let mut findings = vec![Finding::ok("versions", format!("librdkafka {librdkafka}"))];
    let servers = config.connection.brokers.servers();
    let first = config.topics.first().map_or("", String::as_str);
    let administrator = match Administrator::open(&config.connection) {
        Ok(administrator) => administrator,
        Err(error) => {
            findings.push(Finding::fail("brokers", error.to_string(), error.hint().to_owned()));
            return findings;
        }
    };
    match administrator.partitions(first, "Read") {
        // What is said of the topic is said below.
        Ok(_) | Err(LedgerError::Access(AccessError::Denied { .. })) => {
            let protocol = config.connection.properties.get("security.protocol").unwrap_or("plaintext");
            findings.push(Finding::ok("brokers", format!("{servers} answer and let us in ({protocol})")));
        }
        Err(error) => {
            findings.push(Finding::fail("brokers", format!("{servers}: {error}"), error.hint().to_owned()));
            return findings;
        }
    }
    let checkup = Checkup { config, administrator };
    findings.extend(checkup.topics());
    findings.extend(checkup.group());
    if config.transactional {
        findings.push(checkup.transactions());
    }
    findings.push(checkup.clock(present));
    findings
}

struct Checkup<'a> {
    config: &'a KafkaLedgerConfig,
    administrator: Administrator,
}

/// A topic, what has to be allowed on it, and how it is made where it is missing.
struct Need<'a> {
    topic: &'a str,
    operations: &'static [&'static str],
    create: Option<CreateTopic>,
}

impl Checkup<'_> {
    fn topics(&self) -> Vec<Finding> {
        let read = |topic| Need { topic, operations: &["Read"], create: None };
        let mut needs: Vec<Need<'_>> = self.config.topics.iter().map(|topic| read(topic.as_str())).collect();
        let partitions = self.source_partitions();
        let create = Some(state_topic_settings(&self.config.state, partitions.unwrap_or(1)));
        needs.push(Need { topic: &self.config.state.topic, operations: &["Read", "Write"], create });
        let written = |topic, create| Need { topic, operations: &["Write"], create };
        needs.extend(self.config.sinks.iter().map(|sink| written(sink.topic.as_str(), sink.create.clone())));
        let names: Vec<&str> = needs.iter().map(|need| need.topic).collect();
        let ask = describe::Ask::Permissions;
        let told = describe::topics(self.administrator.client(), &names, ask, ANSWER_TIMEOUT).unwrap_or_default();
        let mut findings: Vec<Finding> =
            needs.iter().flat_map(|need| self.topic(need, told.get(need.topic).map(|topic| &topic.allowed))).collect();
        findings.extend(partitions.and_then(|partitions| self.state_topic(partitions)));
        findings
    }

    /// Most partitions of any topic of the source, where that is told.
    fn source_partitions(&self) -> Option<u32> {
        let counts = self.config.topics.iter().map(|topic| self.administrator.partitions(topic, "Read").ok().flatten());
        counts.collect::<Option<Vec<u32>>>()?.into_iter().max()
    }

    fn topic(&self, need: &Need<'_>, allowed: Option<&Allowed>) -> Vec<Finding> {
        let Need { topic, operations, create } = need;
        match self.administrator.partitions(topic, operations.first().copied().unwrap_or("Describe")) {
            Ok(Some(count)) => {
                let mut findings = vec![Finding::ok("topic", format!("`{topic}` has {count} partitions"))];
                let about = format!("topic `{topic}`");
                let needed = operations.join("`, `");
                findings.push(match allowed {
                    Some(Ok(told)) => {
                        let lacks = |operation: &&&str| !told.contains(*operation);
                        let missing: Vec<&str> = operations.iter().filter(lacks).copied().collect();
                        match missing.as_slice() {
                            [] => Finding::ok("permission", format!("`{needed}` on {about}")),
                            missing => self.denied(&missing.join("`, `"), &about, &format!("--topic {topic}")),
                        }
                    }
                    Some(Err(_)) | None => Finding::warn(
                        "permission",
                        format!("the brokers do not say whether they allow `{needed}` on {about}"),
                        "ask whoever runs them; a run says at once what it lacks".to_owned(),
                    ),
                });
                findings
            }
            Ok(None) => vec![match create {
                None => Finding::fail(
                    "topic",
                    format!("`{topic}` does not exist"),
                    "create it, or correct its name".to_owned(),
                ),
                Some(create) => match self.administrator.create(topic, create, true) {
                    Ok(()) => Finding::ok("topic", format!("`{topic}` does not exist; the run creates it")),
                    Err(LedgerError::Access(AccessError::Denied { operation, resource })) => {
                        self.denied(operation, &resource, &format!("--topic {topic}"))
                    }
                    Err(error) => Finding::fail("topic", error.to_string(), error.hint().to_owned()),
                },
            }],
            Err(LedgerError::Access(AccessError::Denied { resource, .. })) => {
                vec![self.denied(&operations.join("`, `"), &resource, &format!("--topic {topic}"))]
            }
            Err(error) => vec![Finding::fail("topic", format!("`{topic}`: {error}"), error.hint().to_owned())],
        }
    }

    /// Whether the state topic, where it is there, is what the state needs.
    fn state_topic(&self, partitions: u32) -> Option<Finding> {
        let topic = &self.config.state.topic;
        let found = self.administrator.partitions(topic, "Write").ok()??;
        if found != partitions {
            let message = format!("`{topic}` has {found} partitions, but the source has {partitions}: keys have moved");
            let remedy = "delete the state topic and the group's offsets to learn anew from the input".to_owned();
            return Some(Finding::fail("topic", message, remedy));
        }
        // The policy is told only to those who may describe settings: no need of a pipeline's.
        let policy = self.administrator.topic_setting(topic, "cleanup.policy")?;
        if keeps_state(&policy) {
            return Some(Finding::ok("topic", format!("`{topic}` is compacted")));
        }
        let remedy = format!("kafka-configs --alter --topic {topic} --add-config cleanup.policy=compact");
        Some(Finding::fail(
            "topic",
            format!("`{topic}` has `cleanup.policy` `{policy}` in place of `compact`: state would be lost"),
            remedy,
        ))
    }

    fn group(&self) -> Option<Finding> {
        let group = &self.config.group;
        let about = format!("group `{group}`");
        let denied = || self.denied("Read", &about, &format!("--group {group}"));
        match describe::group(self.administrator.client(), group, ANSWER_TIMEOUT) {
            Ok(Ok(told)) if told.contains(&"Read") => Some(Finding::ok("permission", format!("`Read` on {about}"))),
            Ok(Ok(_)) => Some(denied()),
            Ok(Err(code)) | Err(KafkaError::MetadataFetch(code)) if is_denial(code) => Some(denied()),
            // A group that is not there yet says nothing of permissions in some versions.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn transactions(&self) -> Finding {
        let id = transactional_id(&self.config.group, "doctor");
        let connection = &self.config.connection;
        let about = format!("transactional id `{id}`");
        let granted = || Finding::ok("permission", format!("`Write` on {about}"));
        let config = connection.transactional_producer(&id, REFUSED_TIMEOUT_MS);
        let producer = match RecordProducer::open(&config, &connection.log()) {
            Ok(producer) => producer.shared(),
            Err(error) => return Finding::fail("permission", error.to_string(), error.hint().to_owned()),
        };
        let Err(error) = producer.init_transactions(ANSWER_TIMEOUT) else { return granted() };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::InvalidTransactionTimeout) => granted(),
            Some(code) if is_denial(code) => {
                let prefix = transactional_id(&self.config.group, "");
                self.denied("Write", &about, &format!("--transactional-id {prefix} --resource-pattern-type prefixed"))
            }
            _ => Finding {
                check: "permission",
                verdict: Verdict::Warn,
                message: format!("{about}: {error}"),
                remedy: Some("look at the broker's log: transactions need their coordinator".to_owned()),
            },
        }
    }

    fn denied(&self, operations: &str, about: &str, resource: &str) -> Finding {
        let user = self.config.connection.properties.get("sasl.username").unwrap_or("NAME");
        let flags: Vec<String> = operations.split("`, `").map(|operation| format!("--operation {operation}")).collect();
        let remedy = format!("kafka-acls --add --allow-principal User:{user} {} {resource}", flags.join(" "));
        Finding::fail("permission", format!("the brokers do not allow `{operations}` on {about}"), remedy)
    }

    /// The newest record's time by the brokers against ours.
    fn clock(&self, present: Present) -> Finding {
        let newest = self.config.topics.iter().filter_map(|topic| self.newest_ts_ms(topic)).max();
        let Some(newest) = newest else {
            return Finding::ok("clock", "no record to compare this machine's clock with".to_owned());
        };
        let ahead_s = (newest - present.now_ms) as f64 / 1000.0;
        if newest - present.now_ms <= present.ahead_ms_max {
            return Finding::ok("clock", format!("the newest record is {:.1} s old", -ahead_s));
        }
        Finding {
            check: "clock",
            verdict: Verdict::Warn,
            message: format!("the newest record is stamped {ahead_s:.1} s ahead of this machine's clock"),
            remedy: Some("compare the clocks of brokers, producers and this machine, as by NTP".to_owned()),
        }
    }

    /// The largest time stamp among the last records of a topic's partitions.
    fn newest_ts_ms(&self, topic: &str) -> Option<i64> {
        let connection = &self.config.connection;
        let partitions = i32::try_from(self.administrator.partitions(topic, "Read").ok()??).ok()?;
        let context = PlainContext(connection.log());
        let reader: BaseConsumer<PlainContext> =
            connection.reader(&self.config.group, Isolation::Committed).create_with_context(context).ok()?;
        let mut last = TopicPartitionList::new();
        for partition in 0..partitions {
            let (low, high) = query::watermarks(&reader, topic, partition).ok()?;
            if high > low {
                last.add_partition_offset(topic, partition, Offset::Offset(high - 1)).ok()?;
            }
        }
        reader.assign(&last).ok()?;
        let (mut newest, mut left, deadline) = (None, last.count(), Instant::now() + ANSWER_TIMEOUT);
        while left > 0 && Instant::now() < deadline {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => newest = newest.max(message.timestamp().to_millis()),
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) if !query::passing(&error) => return newest,
                Some(Err(_)) | None => {}
            }
        }
        newest
    }
}
