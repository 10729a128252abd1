//! Secured brokers: every way in works, exactly once; every refusal says what is wrong in one line, in seconds; a pipeline
//! needs no more permissions than docs/security.md lists.

use std::path::PathBuf;
use std::process::Child;
use std::time::Instant;

use crate::broker::{self, PATIENCE};
use crate::kafka_run_support::{committed_at, ended, finish, make_topic, pipeline_at, start_with, write_to};
use crate::secured::{Kind, READ, Secured, WRITE, allow_all, deny, secure, secured, start};

/// The password of the user `pipeline`, and of its locked key.
pub(crate) const PASSWORD: &str = "gooseberry";
const KEY_PASSWORD: &str = "walnut";

/// A pipeline file that logs in at a listener.
pub(crate) fn at(secured: &Secured, listener: &str, name: &str, topic: &str, security: &str) -> PathBuf {
    let path = pipeline_at(&secured.listener(listener), name, topic, "workers: 1");
    secure(&path, security);
    path
}

/// A topic of its own with some hours of readings.
pub(crate) fn filled(secured: &Secured, name: &str, hours: i64) -> (String, u64) {
    let topic = format!("{name}-readings");
    make_topic(&secured.plain, &topic);
    let rows = write_to(&secured.plain, &topic, 0..hours);
    (topic, rows)
}

#[test]
fn every_listener_works_from_end_to_end_exactly_once() {
    let secured = secured();
    let base = broker::unique("works");
    allow_all(&base);
    let (topic, rows) = filled(secured, &base, 4);
    let plain = finish(start_with(
        &pipeline_at(&secured.plain, &format!("{base}-plain"), &topic, "workers: 1"),
        &["--until", "latest"],
    ));
    assert_eq!(plain["rows"]["in"], rows);
    let bare = "protocol: sasl_plaintext, mechanism: scram_sha_512, username: pipeline, password: env:SECRET";
    let locked = secured.certificate("pipeline").replace("pipeline.key", "pipeline.locked.key");
    let ways = [
        ("mutual", secured.certificate("pipeline"), "unused"),
        ("mutual", format!("{locked}, key_password: env:SECRET"), KEY_PASSWORD),
        ("login", secured.login("plain"), PASSWORD),
        ("login", secured.login("scram_sha_256"), PASSWORD),
        ("login", secured.login("scram_sha_512"), PASSWORD),
        ("bare", bare.to_owned(), PASSWORD),
    ];
    for (index, (listener, security, secret)) in ways.iter().enumerate() {
        let name = format!("{base}-{index}");
        let path = at(secured, listener, &name, &topic, security);
        let first = finish(start("run", &path, secret, &["--until", "latest"]));
        for part in ["rows", "windows", "alerts", "state_digest"] {
            assert_eq!(first[part], plain[part], "{listener} {security}: {part}");
        }
        let dead = committed_at(&secured.plain, &format!("{name}-dlq"));
        assert_eq!(first["rows"]["dead_letter"], dead.len());
        let again = finish(start("run", &path, secret, &["--until", "latest"]));
        assert_eq!(again["state_digest"], plain["state_digest"], "{listener}: a second run adds nothing");
    }
}

/// A run that must fail, and what it must say: in the one line of its error, and in the hint.
struct Refused {
    child: Child,
    case: &'static str,
    error: &'static str,
    hint: &'static str,
}

impl Refused {
    /// Waits for the end; the error line.
    fn check(self) {
        let (code, _, said) = ended(self.child);
        let case = self.case;
        assert_eq!(code, Some(1), "{case}: {said}");
        let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        assert!(line("error: ").contains(self.error), "{case}: {said}");
        assert!(line("hint: ").contains(self.hint), "{case}: {said}");
        for secret in [PASSWORD, KEY_PASSWORD, "elderflower", "PRIVATE KEY"] {
            assert!(!said.contains(secret), "{case} shows a secret: {said}");
        }
    }
}

#[test]
fn every_wrong_credential_says_what_is_wrong_in_one_line_within_seconds() {
    let secured = secured();
    let wrong_user = secured.login("scram_sha_256").replace("username: pipeline", "username: nobody");
    let nobodys = format!("protocol: ssl, ca: \"{}\"", secured.pki("ca.pem"));
    let stranger = secured.login("scram_sha_512").replace("ca.pem", "stranger.pem");
    let locked = secured.certificate("pipeline").replace("pipeline.key", "pipeline.locked.key");
    let cases = [
        ("wrong password, PLAIN", "login", secured.login("plain"), "refuse the login: ", "`password`"),
        ("wrong password, SCRAM", "login", secured.login("scram_sha_512"), "refuse the login: ", "`password`"),
        ("unknown user", "login", wrong_user, "refuse the login: ", "`username`"),
        (
            "no client certificate",
            "mutual",
            nobodys,
            "the brokers want a client certificate",
            "`certificate` and `key`",
        ),
        (
            "expired client certificate",
            "mutual",
            secured.certificate("old"),
            "do not accept the client certificate",
            "expired",
        ),
        ("unknown authority", "login", stranger, "signed by an unknown authority", "`ca: file:PATH`"),
        ("expired broker certificate", "expired", secured.login("scram_sha_512"), "certificate has expired", "renew"),
        (
            "another host's certificate",
            "elsewhere",
            secured.login("scram_sha_512"),
            "for another host name",
            "`brokers`",
        ),
        ("locked key", "mutual", format!("{locked}, key_password: env:SECRET"), "ssl.key", "settings"),
    ];
    let started = Instant::now();
    let runs: Vec<Refused> = cases
        .into_iter()
        .map(|(case, listener, security, error, hint)| {
            let path = at(secured, listener, &broker::unique("refused"), "readings", &security);
            Refused { child: start("run", &path, "elderflower", &[]), case, error, hint }
        })
        .collect();
    runs.into_iter().for_each(Refused::check);
    // All at once on a busy machine; alone each takes about three seconds.
    assert!(started.elapsed() < PATIENCE / 2, "took {:?}", started.elapsed());
}

#[test]
fn every_missing_permission_is_named_at_the_start() {
    let secured = secured();
    let base = broker::unique("lacks");
    allow_all(&base);
    let (topic, _) = filled(secured, &base, 1);
    let (other, _) = filled(secured, &format!("{base}-unread"), 1);
    deny(Kind::Topic, &other, READ);
    let own = |case: &str| format!("{base}-{case}");
    deny(Kind::Group, &format!("arterial.{}", own("group")), READ);
    deny(Kind::TransactionalId, &format!("arterial.{}", own("txn")), WRITE);
    deny(Kind::Topic, &format!("arterial.{}.state", own("state")), WRITE);
    let cases = [
        ("topic", &other, format!("`Read` on topic `{other}`")),
        ("group", &topic, format!("`Read` on group `arterial.{}`", own("group"))),
        ("txn", &topic, format!("`Write` on transactional id `arterial.{}-0-0`", own("txn"))),
        ("state", &topic, format!("`Write` on topic `arterial.{}.state`", own("state"))),
    ];
    let runs: Vec<(Child, String)> = cases
        .into_iter()
        .map(|(case, topic, wanted)| {
            let path = at(secured, "login", &own(case), topic, &secured.login("scram_sha_512"));
            (start("run", &path, PASSWORD, &[]), wanted)
        })
        .collect();
    for (child, wanted) in runs {
        let (code, _, said) = ended(child);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.lines().any(|line| line.starts_with("error: ") && line.contains(&wanted)), "{wanted}: {said}");
        assert!(said.contains("kafka-acls --add"), "{said}");
    }
}
