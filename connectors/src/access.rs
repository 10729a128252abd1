//! Why the far side does not let us in, or not do what we ask: one sentence with the reason, and what to do about it.

/// Access that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The user lacks a permission.
    #[error("the brokers do not allow `{operation}` on {resource}")]
    Denied {
        /// The missing operation by Kafka's name, as `Write`.
        operation: &'static str,
        /// On what, as ``topic `alerts` ``.
        resource: String,
    },
    /// User name or password are not accepted.
    #[error("the brokers refuse the login: {reason}")]
    Login {
        /// The brokers' words.
        reason: String,
    },
    /// A certificate is not accepted, by us or by the brokers.
    #[error("no secure connection: {fault}: {reason}")]
    Certificate {
        /// Whose, and why.
        fault: CertificateFault,
        /// The library's words.
        reason: String,
    },
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// The brokers' certificate has expired.
    #[error("the brokers' certificate has expired")]
    Expired,
    /// The brokers' certificate is valid from a later day on.
    #[error("the brokers' certificate is not valid yet")]
    NotYetValid,
    /// The brokers' certificate is signed by an authority that we were not told to trust.
    #[error("the brokers' certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// The brokers' certificate is another host's.
    #[error("the brokers' certificate is for another host name")]
    HostName,
    /// The brokers want a certificate from us.
    #[error("the brokers want a client certificate")]
    ClientMissing,
    /// The brokers do not accept ours.
    #[error("the brokers do not accept the client certificate")]
    ClientRefused,
    /// Something else about the encrypted connection.
    #[error("the encrypted connection failed")]
    Other,
}

impl AccessError {
    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Denied { .. } => {
                "grant it to the pipeline's user with `kafka-acls --add` and start again: nothing is lost; docs/security.md lists all that a pipeline needs, `arterial doctor` what is missing"
            }
            Self::Login { .. } => {
                "compare `mechanism`, `username` and `password` under `security:` with the users of the brokers"
            }
            Self::Certificate { fault, .. } => fault.hint(),
        }
    }
}

impl CertificateFault {
    fn hint(self) -> &'static str {
        match self {
            Self::Expired => "renew the certificate of the brokers",
            Self::NotYetValid => "compare the clock of this machine with the brokers'",
            Self::UnknownAuthority => {
                "name the authority that signed the brokers' certificate: `ca: file:PATH` under `security:`"
            }
            Self::HostName => "write under `brokers` a host name that the certificate carries",
            Self::ClientMissing => "give `certificate` and `key` under `security:`",
            Self::ClientRefused => {
                "check that `certificate` has not expired and is signed by an authority that the brokers trust"
            }
            Self::Other => "check that `protocol` under `security:` is what this port of the brokers speaks",
        }
    }
}
