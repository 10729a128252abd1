//! `security:`: secrets by their place, keys that go together, nothing said twice.

use super::Check;
use crate::spec::model::{EMBEDDED, SecurityProtocol};
use crate::spec::part::Part;
use crate::spec::secret::SecretText;

/// Keys whose values are named by their place.
const PLACES: [&str; 5] = ["ca", "certificate", "key", "key_password", "password"];
/// Keys of a login.
const LOGIN: [&str; 3] = ["mechanism", "username", "password"];
/// Keys of the encryption.
const ENCRYPTION: [&str; 4] = ["ca", "certificate", "key", "key_password"];

/// Client properties that the block stands for.
const PROPERTIES: [&str; 17] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.ca.certificate.stores",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.certificate",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

pub(super) fn check(check: &mut Check<'_>, kafka: &Part<'_>) {
    let security = kafka.get("security");
    if !security.given() {
        return;
    }
    if kafka.get("brokers").text() == Some(EMBEDDED) {
        let hint = "remove it: that broker lives in this process";
        check.push(security.key_problem("`brokers: embedded` has no `security`", hint));
    }
    check_places(check, &security);
    match security.get("protocol").read() {
        Some(SecurityProtocol::Ssl) => refuse(check, &security, &LOGIN, "`sasl_ssl` or `sasl_plaintext`"),
        Some(SecurityProtocol::SaslSsl) => require_login(check, &security),
        Some(SecurityProtocol::SaslPlaintext) => {
            refuse(check, &security, &ENCRYPTION, "`ssl` or `sasl_ssl`");
            require_login(check, &security);
        }
        None => {}
    }
    for (key, other) in [("certificate", "key"), ("key", "certificate"), ("key_password", "key")] {
        if security.get(key).given() && !security.get(other).given() {
            let hint = format!("add `{other}`, or remove `{key}`");
            check.push(security.get(key).key_problem(format!("`{key}` needs `{other}`"), hint));
        }
    }
    let properties = kafka.get("properties");
    for property in properties.keys().into_iter().filter(|key| PROPERTIES.contains(key)) {
        let message = format!("`{property}` is what `security` stands for");
        check.push(properties.get(property).key_problem(message, "keep one of the two"));
    }
}

/// Every secret is named by its place; where the verb will connect, it must be there.
fn check_places(check: &mut Check<'_>, security: &Part<'_>) {
    for key in PLACES {
        let part = security.get(key);
        let Some(text) = part.text().map(|text| SecretText(text.to_owned())) else { continue };
        if let Err(error) = text.place().map(drop).and_then(|()| (check.registry.secrets)(&text)) {
            check.push(part.problem(format!("`{key}`: {error}"), error.hint()));
        }
    }
}

fn refuse(check: &mut Check<'_>, security: &Part<'_>, keys: &[&str], protocols: &str) {
    for key in keys {
        let part = security.get(key);
        if part.given() {
            let hint = format!("remove it, or write `protocol:` {protocols}");
            check.push(part.key_problem(format!("`{key}` goes with `protocol:` {protocols} only"), hint));
        }
    }
}

fn require_login(check: &mut Check<'_>, security: &Part<'_>) {
    for (key, hint) in [
        ("mechanism", "add `mechanism: scram_sha_512`, or what the brokers accept"),
        ("username", "add `username`"),
        ("password", "add `password: env:NAME` or `password: file:PATH`"),
    ] {
        if !security.get(key).given() {
            check.push(security.get("protocol").problem(format!("this `protocol` needs `{key}`"), hint));
        }
    }
}
