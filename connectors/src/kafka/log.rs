//! What librdkafka says -> `tracing` events without secrets, and whether the brokers answer at the moment.
//! Every client of this connector shares this; nothing is printed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::properties::{Properties, is_secret};
use super::refusal;
use crate::access::AccessError;

/// Takes secrets out of texts that come from librdkafka.
///
/// librdkafka redacts on its own, but misses `ssl.key.pem` and `sasl.oauthbearer.config`.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Secret values and their longer lines (a PEM key has many; a cut-off dump may hold only some).
    secrets: Vec<String>,
    /// Names of secret properties: in a dump `name = value` the value is cut off.
    keys: Vec<String>,
}

/// Shorter parts of a secret are not searched for on their own: they would black out ordinary words.
const SECRET_LINE_BYTES_MIN: usize = 8;

impl Redactor {
    /// For the secrets among these properties.
    #[must_use]
    pub fn new(properties: &Properties) -> Self {
        let mut secrets = Vec::new();
        let mut keys = Vec::new();
        for (key, value) in properties.iter().filter(|(key, value)| is_secret(key) && !value.is_empty()) {
            keys.push(key.to_owned());
            secrets.push(value.to_owned());
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= SECRET_LINE_BYTES_MIN);
            secrets.extend(lines.map(str::to_owned));
        }
        // The longest first: a secret may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets, keys }
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.secrets {
            if clean.contains(secret) {
                clean = clean.replace(secret, "[secret]");
            }
        }
        for key in &self.keys {
            let assignment = format!("{key} = ");
            if let Some(at) = clean.find(&assignment) {
                clean.truncate(at + assignment.len());
                clean.push_str("[secret]");
            }
        }
        clean
    }
}

/// How long a refusal has to stand before it counts: other brokers of the list may let us in.
const REFUSAL_GRACE: Duration = Duration::from_millis(1500);

/// Whether the brokers answer, and what was said last when they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Unknown,
    Up,
    Down(String),
}

/// What the clients of one connection share: redaction and health.
pub(super) struct ClientLog {
    redactor: Redactor,
    health: Mutex<Health>,
    entry: Mutex<Entry>,
}

/// How getting in went.
#[derive(Debug, Default)]
struct Entry {
    /// Some broker has let us in: whatever it refuses later may pass, and is waited for.
    admitted: bool,
    /// The first refusal before that.
    refused: Option<(Instant, AccessError)>,
}

impl ClientLog {
    pub(super) fn new(properties: &Properties) -> Self {
        Self { redactor: Redactor::new(properties), health: Mutex::new(Health::Unknown), entry: Mutex::default() }
    }

    pub(super) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // The value is replaced as a whole: it is sound even if a thread died holding the lock.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self) -> Result<(), String> {
        match &*self.health() {
            Health::Up => Ok(()),
            Health::Unknown => Err("no broker has answered yet".to_owned()),
            Health::Down(reason) => Err(reason.clone()),
        }
    }

    pub(super) fn mark_up(&self) {
        *self.health() = Health::Up;
        let mut entry = self.entry();
        entry.admitted = true;
        entry.refused = None;
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why no broker has ever let us in, where that has been said for some time: not all brokers need be of one mind.
    pub(super) fn refused(&self) -> Option<AccessError> {
        self.entry().refused.as_ref().filter(|(since, _)| since.elapsed() >= REFUSAL_GRACE).map(|(_, why)| why.clone())
    }

    /// A line of librdkafka's log.
    pub(super) fn line(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // The user's properties go to consumers and producers alike: librdkafka says which do not apply.
        if facility == "CONFWARN" {
            return;
        }
        let message = self.redact(text);
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    /// An error that concerns the client as a whole. Only here does librdkafka say why a login failed.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        // The end of a partition is no error of the client.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let message = self.redact(reason);
        tracing::warn!(target: "librdkafka", code = ?error.rdkafka_error_code(), "{message}");
        let refusal = refusal::of_client_error(error.rdkafka_error_code(), &message);
        let mut entry = self.entry();
        if let Some(refusal) = refusal.filter(|_| !entry.admitted) {
            entry.refused.get_or_insert_with(|| (Instant::now(), refusal));
        }
        drop(entry);
        let away = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        let mut health = self.health();
        // "All brokers down" says less than the reason that came before it.
        let vague = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if away && !(vague && matches!(*health, Health::Down(_))) {
            *health = Health::Down(message);
        }
    }

    /// librdkafka's statistics: a broker that is connected clears an earlier error.
    pub(super) fn statistics(&self, json: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(json) else { return };
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.mark_up();
        }
    }
}

/// The part of librdkafka's statistics that tells who is connected.
#[derive(Deserialize)]
struct Statistics {
    brokers: std::collections::HashMap<String, BrokerStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    nodeid: i32,
    state: String,
}

/// A client context for clients without further duties: short-lived readers, topic administration.
#[derive(Clone)]
pub(super) struct PlainContext(pub(super) std::sync::Arc<ClientLog>);

impl rdkafka::ClientContext for PlainContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.0.statistics(json);
    }
}

impl rdkafka::consumer::ConsumerContext for PlainContext {}
