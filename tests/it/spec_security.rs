//! `security:` in a pipeline file: what contradicts itself is refused at its place, and no secret is ever shown.

use std::path::Path;

use arterial::spec::{PipelineFile, Registry};

use super::spec_support::{only_problem, problems, rendered, spoilt};

const TOPICS: &str = "topics: [\"${city}.loops\"] }";

/// The good file with a `security` block, perhaps marked, and client properties.
fn with(security: &str) -> String {
    spoilt(&[(TOPICS, &format!("security: {{ {security} }}, {TOPICS}"))])
}

const LOGIN: &str = "protocol: sasl_ssl, mechanism: scram_sha_512, username: anna, password: env:PASSWORD";
const MUTUAL: &str = "protocol: ssl, ca: file:ca.pem, certificate: file:a.pem, key: file:a.key, key_password: env:KEY";

#[test]
fn every_way_in_is_valid_without_its_secrets_at_hand() {
    for right in
        [LOGIN, MUTUAL, "protocol: ssl", &LOGIN.replace("scram_sha_512", "plain"), &LOGIN.replace("_ssl", "_plaintext")]
    {
        assert_eq!(problems(&with(right)), [], "{right}");
    }
}

#[test]
fn secrets_stand_elsewhere_and_one_that_does_not_is_not_repeated() {
    for key in ["ca", "certificate", "key", "key_password", "password"] {
        for literal in ["hunter2", "\"env:\"", "env:two words", "\"file:\"", "7402318", "[hunter2]", "{ a: hunter2 }"] {
            let text = with(&format!("protocol: ssl, {key}: {literal}"));
            assert!(problems(&text).iter().any(|problem| problem.path.to_string().contains(key)), "{key}: {literal}");
            let said = rendered(&text);
            assert!(!said.contains("hunter2") && !said.contains("7402318"), "{said}");
        }
    }
    let message = "`password`: a secret must not stand in a pipeline file";
    only_problem(&with(&LOGIN.replace("env:PASSWORD", "«hunter2")), message, "`env:NAME` or `file:PATH`");
    let multiline = spoilt(&[(
        "    kafka: { brokers: \"127.0.0.1:9092\", topics: [\"${city}.loops\"] }\n",
        "    kafka:\n      brokers: \"127.0.0.1:9092\"\n      topics: [\"${city}.loops\"]\n      security:\n        protocol: ssl\n        certificate: file:a.pem\n        key: |\n          hunter2\n",
    )]);
    assert!(!rendered(&multiline).is_empty() && !rendered(&multiline).contains("hunter2"), "{}", rendered(&multiline));
}

#[test]
fn a_secret_by_way_of_a_variable_is_a_literal_too() {
    let text = with(&LOGIN.replace("env:PASSWORD", "\"${pw}\"")).replace("city: aarhus", "city: aarhus, pw: hunter2");
    let [problem] = &problems(&text)[..] else { panic!("one problem") };
    assert!(problem.message.contains("must not stand"), "{}", problem.message);
}

#[test]
fn contradictions_are_refused_at_their_place() {
    let only = "only";
    let login = |key: &str| format!("`{key}` goes with `protocol:` `sasl_ssl` or `sasl_plaintext` {only}");
    only_problem(&with("protocol: ssl, «mechanism: plain"), &login("mechanism"), "remove it");
    only_problem(&with("protocol: ssl, «username: anna"), &login("username"), "remove it");
    only_problem(&with("protocol: ssl, «password: env:A"), &login("password"), "remove it");
    let open = LOGIN.replace("sasl_ssl", "sasl_plaintext, «ca: file:ca.pem");
    only_problem(&with(&open), "`ca` goes with `protocol:` `ssl` or `sasl_ssl` only", "remove it");
    only_problem(&with("protocol: ssl, «certificate: file:a.pem"), "`certificate` needs `key`", "add `key`");
    only_problem(&with("protocol: ssl, «key: file:a.key"), "`key` needs `certificate`", "add `certificate`");
    only_problem(&with("protocol: ssl, «key_password: env:A"), "`key_password` needs `key`", "add `key`");
    for (key, part) in [("mechanism", "mechanism: scram_sha_512, "), ("username", "username: anna, ")] {
        let text = with(&LOGIN.replace(part, "").replace("sasl_ssl", "«sasl_ssl"));
        only_problem(&text, &format!("this `protocol` needs `{key}`"), &format!("add `{key}"));
    }
    let twice = spoilt(&[(
        TOPICS,
        &format!(
            "security: {{ {LOGIN} }}, properties: {{ «sasl.username: anna, socket.keepalive.enable: \"true\" }}, {TOPICS}"
        ),
    )]);
    only_problem(&twice, "`sasl.username` is what `security` stands for", "keep one");
}

#[test]
fn all_of_them_are_told_at_once() {
    let found = problems(&with("protocol: ssl, mechanism: plain, password: hunter2, certificate: file:a"));
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn a_verb_that_connects_says_where_a_secret_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("there.pem"), "certificate\n").expect("written");
    let security = "protocol: ssl, ca: file:there.pem, certificate: file:gone.pem, key: env:ARTERIAL_TEST_NEVER_SET";
    let parse = |registry: &Registry| PipelineFile::parse("p.yaml", &with(security), &|_| None, registry).finish();
    parse(&Registry::standard()).expect("nothing is wrong without them");
    let errors = parse(&Registry::connecting(folder.path())).expect_err("two are missing");
    let told: Vec<&str> = errors.problems().iter().map(|problem| problem.message.as_str()).collect();
    let [file, variable] = told[..] else { panic!("{told:?}") };
    assert!(file.starts_with("`certificate`: file `") && file.contains("gone.pem"), "{file}");
    assert_eq!(variable, "`key`: environment variable `ARTERIAL_TEST_NEVER_SET` is not set");
    assert!(Path::new("p.yaml").to_str() == Some(errors.file()));
}
