//! `security:` -> properties of librdkafka's clients, with the secrets that it names.

use std::collections::BTreeMap;
use std::path::Path;

use crate::spec::model::{SaslMechanism, SecurityProtocol, SecuritySpec};
use crate::spec::{SecretError, SecretPlace, SecretText};

/// The properties. A file of certificates is named, not read: it may hold a chain, and each new client finds what is in
/// it then.
///
/// # Errors
/// The first secret that is not where the file says.
pub(super) fn properties(
    security: &SecuritySpec,
    folder: &Path,
) -> Result<BTreeMap<&'static str, String>, SecretError> {
    let mut properties = BTreeMap::new();
    let protocol = match security.protocol {
        SecurityProtocol::Ssl => "ssl",
        SecurityProtocol::SaslSsl => "sasl_ssl",
        SecurityProtocol::SaslPlaintext => "sasl_plaintext",
    };
    properties.insert("security.protocol", protocol.to_owned());
    for (text, location, pem) in [
        (&security.ca, "ssl.ca.location", "ssl.ca.pem"),
        (&security.certificate, "ssl.certificate.location", "ssl.certificate.pem"),
        (&security.key, "ssl.key.location", "ssl.key.pem"),
    ] {
        let Some(text) = text else { continue };
        let (key, value) = certificate(text, folder, location, pem)?;
        properties.insert(key, value);
    }
    if let Some(text) = &security.key_password {
        properties.insert("ssl.key.password", text.read(folder)?);
    }
    if let Some(mechanism) = security.mechanism {
        let name = match mechanism {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        properties.insert("sasl.mechanism", name.to_owned());
    }
    if let Some(name) = &security.username {
        properties.insert("sasl.username", name.clone());
    }
    if let Some(text) = &security.password {
        properties.insert("sasl.password", text.read(folder)?);
    }
    Ok(properties)
}

fn certificate(
    text: &SecretText,
    folder: &Path,
    location: &'static str,
    pem: &'static str,
) -> Result<(&'static str, String), SecretError> {
    let content = text.read(folder)?;
    match text.place()? {
        SecretPlace::Env(_) => Ok((pem, content)),
        SecretPlace::File(path) => Ok((location, folder.join(path).display().to_string())),
    }
}
