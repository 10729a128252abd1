//! What of a Kafka configuration is refused without network, and that secrets stay secret.

use std::io::Write;
use std::sync::{Arc, Mutex};

use arterial_connectors::kafka::{
    Brokers, KafkaConnection, KafkaSource, Properties, PropertyError, Redactor, check_properties,
};

use crate::broker::{connection_to, properties, source_config_at};

#[test]
fn properties_that_the_engine_depends_on_are_refused_with_key_and_reason() {
    let denied = [
        "enable.auto.commit",
        "isolation.level",
        "group.id",
        "transactional.id",
        "enable.idempotence",
        "partition.assignment.strategy",
        "bootstrap.servers",
        "auto.offset.reset",
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
    ];
    for key in denied {
        let errors = check_properties(&properties(&[(key, "x")]));
        assert_eq!(errors.len(), 1, "{key}");
        assert!(
            matches!(&errors[0], PropertyError::Denied { key: named, reason } if named == key && reason.len() > 10)
        );
        assert!(errors[0].to_string().contains(key), "{}", errors[0]);
    }
}

#[test]
fn all_wrong_properties_are_reported_at_once() {
    let errors = check_properties(&properties(&[
        ("fetch.max.bites", "1"),
        ("fetch.wait.max.ms", "soon"),
        ("group.id", "mine"),
        ("socket.keepalive.enable", "true"),
    ]));
    assert_eq!(errors.len(), 3);
    assert_eq!(errors[0], PropertyError::Unknown { key: "fetch.max.bites".to_owned() });
    assert!(matches!(&errors[1], PropertyError::Invalid { key, .. } if key == "fetch.wait.max.ms"), "{:?}", errors[1]);
    assert!(matches!(&errors[2], PropertyError::Denied { key, .. } if key == "group.id"));
}

#[test]
fn secrets_show_neither_in_debug_nor_in_errors() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----";
    let kept = Properties::checked(properties(&[
        ("sasl.username", "anna"),
        ("sasl.password", "gooseberry"),
        ("ssl.key.pem", pem),
        ("sasl.oauthbearer.config", "principal=hazelnut"),
        ("ssl.key.password", "elderflower"),
    ]))
    .unwrap();
    let shown = format!("{kept:?}");
    assert!(shown.contains("anna"), "{shown}");
    for secret in ["gooseberry", "MIIEvQ", "hazelnut", "elderflower"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let wrong = [("ssl.key.pem", "hazelnut"), ("sasl.oauthbearer.method", "gooseberry"), ("ssl.keystore.password", "")];
    let errors = check_properties(&properties(&wrong[..2]));
    assert!(!errors.is_empty(), "nothing was refused");
    assert!(errors.iter().all(|error| !error.to_string().contains("hazelnut")), "{errors:?}");
}

#[test]
fn secrets_are_taken_out_of_log_lines_even_where_they_are_cut_off() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----";
    let kept = properties(&[("ssl.key.pem", pem), ("sasl.oauthbearer.config", "principal=hazelnut")]);
    let redactor = Redactor::new(&Properties::checked(kept).unwrap());
    assert_eq!(redactor.redact("ssl.key.pem = -----BEGIN PRIVATE KEY-----\nMIIEvQIB"), "ssl.key.pem = [secret]");
    assert_eq!(redactor.redact("config principal=hazelnut refused"), "config [secret] refused");
    assert_eq!(redactor.redact("line MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), "line [secret]");
    assert_eq!(redactor.redact("nothing to hide"), "nothing to hide");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn librdkafka_logs_through_tracing_without_secrets_at_its_most_talkative() {
    use arterial_connectors::source::Source;
    let written = Written::default();
    let sink = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || sink.clone())
        .with_ansi(false)
        .finish();
    let kept = properties(&[
        ("debug", "all"),
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.config", "principal=hazelnut"),
    ]);
    // Nobody listens on port 9 of the loopback interface.
    let connection = KafkaConnection {
        brokers: Brokers::List("127.0.0.1:9".to_owned()),
        properties: Properties::checked(kept).unwrap(),
        ..connection_to("")
    };
    tracing::subscriber::with_default(subscriber, || {
        let mut source = KafkaSource::open(source_config_at(&connection, "topic", "group")).unwrap();
        for _ in 0..5 {
            assert!(source.poll(std::time::Duration::from_millis(100)).unwrap().is_none());
        }
        assert!(source.connected().is_err());
    });
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("librdkafka"), "{text}");
    assert!(text.contains("sasl.oauthbearer.config"), "the configuration was not even mentioned: {text}");
    assert!(!text.contains("hazelnut"), "{text}");
}
