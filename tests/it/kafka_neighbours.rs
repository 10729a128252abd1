//! Neighbours over a real broker: a topic of one partition is read, one of several is refused before a row is.

use std::path::PathBuf;

use arterial_connectors::kafka::{CreateTopic, ensure_topic};

use crate::broker;
use crate::kafka_run_support::{ended, finish, pipeline, start, write};

/// The shared pipeline with every detector's neighbours on a ring.
fn with_neighbours(topic: &str, partitions: u32) -> PathBuf {
    let create = CreateTopic { partitions, replication: None, config: [].into() };
    ensure_topic(&broker::connection_to(broker::address()), topic, Some(&create)).expect("a topic");
    let path = pipeline(&broker::unique("neighbours"), topic, "workers: 2");
    let text = std::fs::read_to_string(&path).expect("the file");
    let table = "tables:\n  roads: { graph: { from: up, to: down }, rows: [{ up: R01-00, down: R01-01 }] }\nwindow:";
    let lags = "  - lags: { column: speed_kmh, count: 4, fill: last }\n";
    let step = "  - neighbours: { column: speed_kmh, table: roads, count: 2 }\n";
    let text = text.replacen("window:", table, 1).replacen(lags, &format!("{lags}{step}"), 1);
    assert!(text.contains(step), "{text}");
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn topic_of_several_partitions_is_refused_before_anything_of_it_is_read() {
    let topic = broker::unique("roads");
    let path = with_neighbours(&topic, 3);
    write(&topic, 0..1);
    let (code, out, err) = ended(start(&path));
    assert_eq!(code, Some(1), "{out} {err}");
    assert!(err.contains(&format!("so the source must have one partition; it has 3 of `{topic}`")), "{err}");
    assert!(err.contains("read one topic of one partition"), "{err}");
    assert!(!out.contains("\"rows\""), "{out}");
}

#[test]
fn topic_of_one_partition_is_read_to_its_end_by_one_of_two_workers() {
    let topic = broker::unique("roads");
    let path = with_neighbours(&topic, 1);
    let rows = write(&topic, 0..3);
    let summary = finish(start(&path));
    assert_eq!(summary["rows"]["in"], rows);
    assert!(summary["scores"][0]["count"].as_u64() > Some(0), "a model with neighbours forecasts: {summary:#}");
}
