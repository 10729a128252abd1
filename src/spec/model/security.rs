//! `security:` under `kafka:`: how to reach and to convince secured brokers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::secret::SecretText;

/// How to log in to secured brokers; sinks do so as well. Whatever is secret is named by its place: `env:NAME`, an
/// environment variable, or `file:PATH`, relative to the pipeline file. It is read when the pipeline connects.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecuritySpec {
    /// What the brokers' port speaks.
    pub protocol: SecurityProtocol,
    /// Certificates of the authorities that sign the brokers' certificates, PEM; the system's unless given.
    pub ca: Option<SecretText>,
    /// Certificate of this client, PEM, for mutual TLS.
    pub certificate: Option<SecretText>,
    /// Private key of `certificate`, PEM.
    pub key: Option<SecretText>,
    /// Password of `key`, where it has one.
    pub key_password: Option<SecretText>,
    /// How user name and password are proved; needed with `sasl_ssl` and `sasl_plaintext`.
    pub mechanism: Option<SaslMechanism>,
    /// Name of the user; no secret, so it may stand here.
    pub username: Option<String>,
    /// Password of the user.
    pub password: Option<SecretText>,
}

/// What a port of the brokers speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// TLS; with `certificate` and `key` the brokers know who comes.
    Ssl,
    /// TLS, and a login with user name and password.
    SaslSsl,
    /// A login with user name and password, and nothing is encrypted: for networks that are trusted.
    SaslPlaintext,
}

/// How user name and password are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// The password as it is.
    #[serde(rename = "plain")]
    Plain,
    /// A proof of knowing the password, SHA-256.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// A proof of knowing the password, SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}
