//! The secured broker of the security tests, started once per test process, and its access control.
#![allow(unsafe_code, reason = "access control lists exist in librdkafka's C interface only")]

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::broker;

/// A broker with the listeners of `scripts/kafka/secured.sh`.
pub(crate) struct Secured {
    directory: PathBuf,
    /// The plain listener, where everything is allowed.
    pub(crate) plain: String,
}

pub(crate) fn secured() -> &'static Secured {
    static SECURED: OnceLock<Result<Secured, String>> = OnceLock::new();
    let start = || {
        let directory = std::env::temp_dir().join(format!("arterial-test-secured-{}", std::process::id()));
        broker::script("secured", &directory).map(|plain| Secured { directory, plain })
    };
    match SECURED.get_or_init(start) {
        Ok(secured) => secured,
        Err(problem) => panic!("{problem}"),
    }
}

impl Secured {
    /// `host:port` of a listener.
    pub(crate) fn listener(&self, name: &str) -> String {
        let listeners = std::fs::read_to_string(self.directory.join("listeners")).expect("listeners");
        let found = listeners.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        found.unwrap_or_else(|| panic!("no listener {name}")).to_owned()
    }

    /// A file of the certificates, as a secret's place.
    pub(crate) fn pki(&self, file: &str) -> String {
        format!("file:{}", self.directory.join("pki").join(file).display())
    }

    /// The user's block for a login, with a password from the environment.
    pub(crate) fn login(&self, mechanism: &str) -> String {
        let ca = self.pki("ca.pem");
        format!("protocol: sasl_ssl, ca: \"{ca}\", mechanism: {mechanism}, username: pipeline, password: env:SECRET")
    }

    /// The user's block for mutual TLS.
    pub(crate) fn certificate(&self, name: &str) -> String {
        let (ca, certificate, key) =
            (self.pki("ca.pem"), self.pki(&format!("{name}.pem")), self.pki(&format!("{name}.key")));
        format!("protocol: ssl, ca: \"{ca}\", certificate: \"{certificate}\", key: \"{key}\"")
    }
}

/// Puts a `security` block into a pipeline file.
pub(crate) fn secure(path: &Path, security: &str) {
    let text = std::fs::read_to_string(path).expect("a file");
    let secured = text.replacen("topics: [", &format!("security: {{ {security} }}, topics: ["), 1);
    assert_ne!(text, secured);
    std::fs::write(path, secured).expect("written");
}

/// Starts a verb with `SECRET` in its environment.
pub(crate) fn start(verb: &str, path: &Path, secret: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_arterial"))
        .args([verb, "--format", "json"])
        .args(more)
        .arg(path)
        .env("ARTERIAL_LOG", "warn")
        .env("SECRET", secret)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// What an access control list is about; names are prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Topic,
    Group,
    TransactionalId,
}

/// An operation on everything of a kind whose name begins so.
pub(crate) type Rule<'a> = (Kind, &'a str, sys::rd_kafka_AclOperation_t);

pub(crate) const READ: sys::rd_kafka_AclOperation_t = sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ;
pub(crate) const WRITE: sys::rd_kafka_AclOperation_t = sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE;
pub(crate) const CREATE: sys::rd_kafka_AclOperation_t = sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_CREATE;

/// Everything that a pipeline whose name, topics and outputs begin so needs.
pub(crate) fn rules(name: &str) -> Vec<(Kind, String, sys::rd_kafka_AclOperation_t)> {
    let own = format!("arterial.{name}");
    let topics = [name, &own].into_iter().flat_map(|topic| [READ, WRITE, CREATE].map(|of| (topic.to_owned(), of)));
    let mut rules: Vec<_> = topics.map(|(topic, operation)| (Kind::Topic, topic, operation)).collect();
    rules.push((Kind::Group, own.clone(), READ));
    rules.push((Kind::TransactionalId, own, WRITE));
    rules
}

pub(crate) fn allow_all(name: &str) {
    let rules = rules(name);
    let rules: Vec<Rule<'_>> = rules.iter().map(|(kind, prefix, of)| (*kind, prefix.as_str(), *of)).collect();
    change(&rules, sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW);
}

/// From now on the user may not do this, whatever is allowed.
pub(crate) fn deny(kind: Kind, prefix: &str, operation: sys::rd_kafka_AclOperation_t) {
    change(&[(kind, prefix, operation)], sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_DENY);
}

fn change(rules: &[Rule<'_>], permission: sys::rd_kafka_AclPermissionType_t) {
    let client: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &secured().plain).create().expect("a client");
    let native = client.client().native_ptr();
    let (principal, host) = (CString::new("User:pipeline").expect("text"), CString::new("*").expect("text"));
    let text = |name: &str| CString::new(name).expect("text");
    let prefixed = sys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_PREFIXED;
    // SAFETY: client, queue and bindings are alive during the call and destroyed once, after it.
    unsafe {
        let mut bindings: Vec<_> = rules
            .iter()
            .map(|(kind, prefix, operation)| {
                let resource = match kind {
                    Kind::Topic => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                    Kind::Group => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_GROUP,
                    Kind::TransactionalId => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
                };
                let (name, mut error) = (text(prefix), [0; 256]);
                let (principal, host) = (principal.as_ptr(), host.as_ptr());
                let errors = (error.as_mut_ptr(), error.len());
                let binding = sys::rd_kafka_AclBinding_new(
                    resource,
                    name.as_ptr(),
                    prefixed,
                    principal,
                    host,
                    *operation,
                    permission,
                    errors.0,
                    errors.1,
                );
                assert!(!binding.is_null());
                binding
            })
            .collect();
        let queue = sys::rd_kafka_queue_new(native);
        sys::rd_kafka_CreateAcls(native, bindings.as_mut_ptr(), bindings.len(), std::ptr::null(), queue);
        let timeout_ms = i32::try_from(Duration::from_secs(30).as_millis()).expect("a number");
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        assert!(!event.is_null(), "no answer");
        let error = sys::rd_kafka_event_error(event);
        sys::rd_kafka_event_destroy(event);
        sys::rd_kafka_queue_destroy(queue);
        bindings.iter().for_each(|binding| sys::rd_kafka_AclBinding_destroy(*binding));
        assert_eq!(error, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }
}
