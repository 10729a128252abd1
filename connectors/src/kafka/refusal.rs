//! What librdkafka says when brokers refuse a connection or a request -> [`AccessError`]. A refused login only times out
//! for whoever asked: its reason comes by the client's error callback. Why a broker's certificate does not hold is said
//! by a verification callback alone: a client of its own asks for it, and shows no password.
#![allow(unsafe_code, reason = "the verification callback exists in librdkafka's C interface only")]

use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka_sys as sys;

use super::config::KafkaConnection;
use crate::access::{AccessError, CertificateFault};

/// What a request was about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
}

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(formatter, "topic `{name}`"),
            Self::Group(name) => write!(formatter, "group `{name}`"),
            Self::TransactionalId(name) => write!(formatter, "transactional id `{name}`"),
        }
    }
}

/// The permission that an answer about this resource says is missing; `None` for every other answer.
pub(super) fn denied(
    code: Option<RDKafkaErrorCode>,
    operation: &'static str,
    resource: Resource<'_>,
) -> Option<AccessError> {
    use RDKafkaErrorCode as Code;
    let about_it = matches!(
        (code?, resource),
        (Code::TopicAuthorizationFailed, Resource::Topic(_))
            | (Code::GroupAuthorizationFailed, Resource::Group(_))
            | (Code::TransactionalIdAuthorizationFailed, Resource::TransactionalId(_))
    );
    about_it.then(|| AccessError::Denied { operation, resource: resource.to_string() })
}

/// Whether an answer says that a permission is missing.
pub(super) fn is_denial(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// The refusal that an error of a client as a whole stands for; `None` where the brokers may just be away.
pub(super) fn of_client_error(code: Option<RDKafkaErrorCode>, text: &str) -> Option<AccessError> {
    let reason = one_line(text);
    match code? {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some(AccessError::Login { reason })
        }
        RDKafkaErrorCode::SSL => Some(AccessError::Certificate { fault: fault_of(text), reason }),
        // TLS 1.3: the brokers look at our certificate after the handshake and answer the first read.
        RDKafkaErrorCode::BrokerTransportFailure if text.contains("SSL alert number") => {
            Some(AccessError::Certificate { fault: fault_of(text), reason })
        }
        _ => None,
    }
}

/// What an alert of the other side says. Our own verification says no more than that it failed.
fn fault_of(text: &str) -> CertificateFault {
    let says = |words: &str| text.contains(words);
    if says("alert certificate required") || says("client SSL authentication might be required") {
        CertificateFault::ClientMissing
    } else if says("SSL alert number") {
        CertificateFault::ClientRefused
    } else if says("certificate verify failed") {
        CertificateFault::UnknownAuthority
    } else {
        CertificateFault::Other
    }
}

/// The first line, without how long it took and how often it was said.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" (after ").next().unwrap_or(line).trim_end_matches([':', ' ']).to_owned()
}

/// How long the brokers may take to show their certificate once more.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(3);

/// The refusal with the fault of the brokers' certificate, where that is what did not hold.
pub(super) fn explained(refusal: AccessError, connection: &KafkaConnection) -> AccessError {
    match refusal {
        AccessError::Certificate { fault: CertificateFault::UnknownAuthority, reason } => {
            let fault = verification_fault(connection).unwrap_or(CertificateFault::UnknownAuthority);
            AccessError::Certificate { fault, reason }
        }
        // Which alert they send for want of a certificate differs between brokers.
        AccessError::Certificate { fault: CertificateFault::ClientRefused, reason } if !certified(connection) => {
            AccessError::Certificate { fault: CertificateFault::ClientMissing, reason }
        }
        other => other,
    }
}

/// Whether we show a certificate.
fn certified(connection: &KafkaConnection) -> bool {
    ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"]
        .iter()
        .any(|key| connection.properties.get(key).is_some())
}

/// What OpenSSL said of the brokers' certificate; 0 until it said something.
#[derive(Default)]
struct Verification(AtomicI32);

impl ClientContext for Verification {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

fn verification_fault(connection: &KafkaConnection) -> Option<CertificateFault> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", connection.brokers.servers()).set("security.protocol", "ssl");
    for key in ["ssl.ca.location", "ssl.ca.pem", "ssl.endpoint.identification.algorithm"] {
        if let Some(value) = connection.properties.get(key) {
            config.set(key, value);
        }
    }
    let native = config.create_native_config().ok()?;
    // SAFETY: the configuration is alive. Its opaque will be the context below, which outlives the client.
    unsafe { sys::rd_kafka_conf_set_ssl_cert_verify_cb(native.ptr(), Some(note_verification)) };
    let client = Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, Verification::default()).ok()?;
    let deadline = Instant::now() + VERIFICATION_TIMEOUT;
    loop {
        let answered = client.fetch_metadata(None, Duration::from_millis(100)).is_ok();
        match client.context().0.load(Ordering::Relaxed) {
            0 if answered || Instant::now() >= deadline => return None,
            0 => {}
            code => return fault_of_code(code),
        }
    }
}

/// OpenSSL's `X509_V_ERR_*`, which are part of its stable interface.
fn fault_of_code(code: i32) -> Option<CertificateFault> {
    match code {
        9 => Some(CertificateFault::NotYetValid),
        10 => Some(CertificateFault::Expired),
        2 | 18..=21 => Some(CertificateFault::UnknownAuthority),
        62 | 64 => Some(CertificateFault::HostName),
        _ => None,
    }
}

unsafe extern "C" fn note_verification(
    _client: *mut sys::rd_kafka_t,
    _broker: *const c_char,
    _broker_id: i32,
    error: *mut c_int,
    _depth: c_int,
    _certificate: *const c_char,
    _size: usize,
    _text: *mut c_char,
    _text_size: usize,
    context: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka gives a valid number, and the context that `Client` keeps alive for as long as the client.
    let (code, seen) = unsafe { (*error, &*context.cast::<Verification>()) };
    if code != 0 {
        seen.0.store(code, Ordering::Relaxed);
    }
    c_int::from(code == 0)
}
