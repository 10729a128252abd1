//! Rules of the pipeline file about what goes out: windows, features, forecasts, alerts, sinks, the runtime.

use std::collections::BTreeMap;
use std::path::Path;

use arterial::spec::model::Output;
use arterial::spec::{PipelineFile, Registry};

use super::spec_support::{GOOD, only_problem, problems, refused, spoilt};

#[test]
fn window_key_without_the_partition_key_is_refused_with_the_reason() {
    let text = spoilt(&[
        ("  key: [sensor_id]\n  carry", "  «key: [road_id]\n  carry"),
        ("    key: [sensor_id]\n", "    key: [road_id]\n"),
    ]);
    let message = "the window's key must include `sensor_id`, the source's `partitioned_by`";
    only_problem(&text, message, "pipeline scope");
}

#[test]
fn misspelt_window_key_is_told_what_was_meant() {
    let text =
        spoilt(&[("  key: [sensor_id]\n  carry", "  key: [«sensor_idd]\n  carry"), ("    key: [sensor_id]\n", "")]);
    only_problem(
        &text,
        "the window's key must include `sensor_id`, the source's `partitioned_by`",
        "did you mean `sensor_id`?",
    );
}

#[test]
fn window_key_names_a_column_once() {
    let text = spoilt(&[
        ("  key: [sensor_id]\n  carry", "  key: [sensor_id, «sensor_id]\n  carry"),
        ("    key: [sensor_id]\n", ""),
    ]);
    only_problem(&text, "key column `sensor_id` stands twice", "remove one");
}

#[test]
fn allowed_lateness_is_refused_for_now() {
    let message = "`allowed_lateness` other than 0s is not supported";
    refused("size: 5m", "size: 5m\n  allowed_lateness: «5m", message, "max_delay");
    assert_eq!(problems(&spoilt(&[("size: 5m", "size: 5m\n  allowed_lateness: 0s")])), []);
}

#[test]
fn aggregates_are_functions_of_a_column() {
    let wrong = [
        (
            "mean(speed_kmh)",
            "did you mean `avg`? functions: count, sum, avg, stddev, min, max, first, last, median, quantile",
        ),
        ("percentile(speed_kmh, 95)", "did you mean `quantile`?"),
        ("quantile(speed_kmh, 95)", "write `quantile(speed_kmh, 0.95)`: a level above 0, below 1"),
        ("quantile(speed_kmh)", "write `quantile(speed_kmh, 0.95)`"),
        ("quantile(speed_kmh, 0.12345)", "at most four digits"),
        ("avg(speed_kmh, 0.5)", "write `function(column)`"),
        ("avgg(speed_kmh)", "did you mean `avg`?"),
        ("avg(*)", "write `function(column)`"),
        ("avg", "write `function(column)`"),
        ("avg(a + b)", "write `function(column)`"),
        ("avg(speed_kmh", "write `function(column)`"),
        ("speed_kmh", "functions: count"),
    ];
    for (text, hint) in wrong {
        let message = format!("`{text}` is not an aggregate of a column");
        refused("avg(speed_kmh)", &format!("«\"{text}\""), &message, hint);
    }
}

#[test]
fn window_columns_have_names_of_their_own() {
    refused("readings: count", "«n-readings: count", "`n-readings` is not a column name", "underscores");
    let message = "window column `sensor_id` has the name of a key column";
    refused("readings: count", "«sensor_id: count", message, "another name");
    let message = "carried column `speed_kmh` is in the window already";
    refused("carry: [free_flow_kmh]", "carry: [free_flow_kmh, «speed_kmh]", message, "remove it");
    let message = "carried column `free_flow_kmh` is in the window already";
    refused("carry: [free_flow_kmh]", "carry: [free_flow_kmh, «free_flow_kmh]", message, "remove it");
}

#[test]
fn keys_outlive_their_first_window() {
    let message = "`expire_after` 1m is less than the window's size 5m";
    refused("runtime: {", "keys: { expire_after: «1m }\nruntime: {", message, "use days");
}

#[test]
fn features_are_of_window_columns_and_stand_once() {
    let text = spoilt(&[
        ("- lags: { column: speed_kmh", "- lags: { column: «sped_kmh"),
        ("  - differences: { column: speed_kmh, count: 5 }\n", ""),
    ]);
    only_problem(&text, "`sped_kmh` is not a column of the window", "did you mean `speed_kmh`?");
    let message = "`lags` of `speed_kmh` stands twice: its columns would have the same names";
    refused("  - differences", "  - «lags: { column: speed_kmh, count: 2 }\n  - differences", message, "remove one");
    let message = "`time_of_day` stands twice: its columns would have the same names";
    refused("  - differences", "  - time_of_day: {}\n  - «time_of_day: {}\n  - differences", message, "remove one");
}

#[test]
fn differences_need_enough_lags_before_them() {
    let message = "`differences` of `readings` needs `lags` of it before";
    let step = "- differences: { column: speed_kmh, count: 5 }";
    refused(step, "- «differences: { column: readings, count: 2 }", message, "- lags: { column: readings, count: 3 }");
    let message = "6 differences need 7 lags, there are 6";
    refused(step, "- differences: { column: speed_kmh, count: «6 }", message, "add lags");
}

#[test]
fn target_is_a_computed_column_of_the_window() {
    let message = "`speed` is not a column of the window";
    refused(
        "target: speed_kmh",
        "target: «speed",
        message,
        "did you mean `speed_kmh`? window columns: speed_kmh, readings",
    );
    let message = "`free_flow_kmh` is not a column of the window";
    refused("target: speed_kmh", "target: «free_flow_kmh", message, "window columns");
}

#[test]
fn horizons_ascend_in_whole_windows() {
    let message = "horizon 12m is not a whole multiple of the window's size 5m";
    refused("[15m, 30m]", "[«12m, 30m]", message, "write 10m or 15m");
    let message = "horizon 1m is not a whole multiple of the window's size 5m";
    refused("[15m, 30m]", "[«1m, 30m]", message, "write 5m");
    refused("[15m, 30m]", "[30m, «15m]", "horizon 15m does not come after 30m", "ascending");
    let message = "horizon `900s` stands here twice: before it as `15m`";
    refused("[15m, 30m]", "[15m, «900s]", message, "remove one");
    assert_eq!(problems(&spoilt(&[("[15m, 30m]", "[900s, 1h]")])), []);
}

#[test]
fn limits_of_a_forecast_leave_room() {
    refused("maximum: 200", "maximum: «0", "`maximum` 0 is not above `minimum` 0", "correct");
}

#[test]
fn predictor_without_features_is_refused() {
    let features =
        "features:\n  - lags: { column: speed_kmh, count: 6 }\n  - differences: { column: speed_kmh, count: 5 }\n";
    let text = spoilt(&[(features, ""), ("  speed: {", "  «speed: {")]);
    only_problem(&text, "predictor `speed` has no features to predict from", "add `features:`");
}

#[test]
fn comparisons_are_an_operator_and_a_number() {
    for wrong in ["0.45", "under 0.45", "< ", "<> 1", "= 1", "< inf", "> nan", "< 1 2"] {
        let message = format!("`{wrong}` is not a comparison");
        refused("when: \"< 0.45\"", &format!("when: «\"{wrong}\""), &message, "operators: <, <=, >, >=");
    }
    let message = "`bad` is not a comparison";
    refused("severe: \"< 0.2\"", "severe: «bad", message, "write an operator");
    refused("clear: \"> 0.60\"", "clear: «bad", message, "write an operator");
}

#[test]
fn alert_clears_on_the_healthy_side_only() {
    let message = "`clear` compares the same way as `when`: the alert would clear while it holds";
    refused("clear: \"> 0.60\"", "clear: «\"< 0.30\"", message, "use `>` with a number at or above 0.45");
    let message = "`clear` 0.3 lies on the alarming side of `when` 0.45";
    refused("clear: \"> 0.60\"", "clear: «\"> 0.30\"", message, "at or above 0.45");
    assert_eq!(problems(&spoilt(&[("clear: \"> 0.60\"", "clear: \">= 0.45\"")])), []);
    let above = [
        ("severity: { minor: \"< 0.45\", severe: \"< 0.2\" }", "severity: {}"),
        ("when: \"< 0.45\"", "when: \"> 90\""),
    ];
    let text = spoilt(&[above[0], above[1], ("clear: \"> 0.60\"", "clear: «\"< 95\"")]);
    only_problem(&text, "`clear` 95 lies on the alarming side of `when` 90", "at or below 90");
}

#[test]
fn alert_watches_a_measure_or_silence() {
    let silent = (
        "    measure: speed.15m / free_flow_kmh\n    when: \"< 0.45\"\n    clear: \"> 0.60\"\n",
        "    silent_after: 15m\n",
    );
    let minutes =
        ("severity: { minor: \"< 0.45\", severe: \"< 0.2\" }", "severity: { minor: \">= 15\", severe: \"> 90\" }");
    assert_eq!(problems(&spoilt(&[silent, minutes])), []);
    let idle = [("  congestion:\n", "  «congestion:\n"), (silent.0, ""), minutes];
    only_problem(
        &spoilt(&idle),
        "alert `congestion` watches nothing",
        "add `measure` and `when`, or `silent_after: 15m`",
    );
    let never = [("  congestion:\n", "  «congestion:\n"), ("    when: \"< 0.45\"\n    clear: \"> 0.60\"\n", "")];
    only_problem(&spoilt(&never), "alert `congestion` has no `when`: it would never open", "`\"< 0.45\"`");
    let both = [silent, minutes, ("    key: [sensor_id]\n", "    «clear: \"> 0.60\"\n")];
    only_problem(&spoilt(&both), "`clear` means nothing beside `silent_after`", "remove it");
    let late = [(silent.0, "    silent_after: «2d\n"), minutes];
    only_problem(
        &spoilt(&late),
        "a key is forgotten after 2d without readings, before it is silent",
        "`keys.expire_after`",
    );
    refused(
        "    when: \"< 0.45\"",
        "    rate_per: «0s\n    when: \"< 0.45\"",
        "`alerts.congestion.rate_per` must be longer than 0s",
        "",
    );
}

#[test]
fn severities_compare_as_when_does() {
    let message = "the severity compares the other way than `when`";
    refused("severe: \"< 0.2\"", "severe: «\"> 0.2\"", message, "operator of `when`");
    refused("severe: \"< 0.2\"", "«serious: \"< 0.2\"", "unknown key `serious`", "extreme, minor, moderate, severe");
}

#[test]
fn severity_falls_on_the_healthy_side_only() {
    let falls = |text: &str| format!("severe: \"< 0.2\" }}\n    severity_clear: {{ severe: {text}");
    let message = "`severity_clear` compares the same way as `when`: the severity would fall as it gets worse";
    refused("severe: \"< 0.2\"", &falls("«\"< 0.1\""), message, "operator of `clear`");
    refused("severe: \"< 0.2\"", &falls("«0.3"), "expected a comparison, found number 0.3", "operator, too");
    assert_eq!(problems(&spoilt(&[("severe: \"< 0.2\"", &falls("\"> 0.3\""))])), []);
}

#[test]
fn alert_has_the_key_of_the_window() {
    let message = "the alert's key [road_id] is not the window's";
    refused("    key: [sensor_id]\n", "    «key: [road_id]\n", message, "write [sensor_id], or leave `key` out");
}

#[test]
fn sink_is_of_exactly_one_kind() {
    let message = "sink `alerts` needs exactly one of kafka, memory, folder, found kafka and memory";
    refused("  alerts: { from: alerts,", "  «alerts: { memory: {}, from: alerts,", message, "keep one");
    let message = "sink `late` needs exactly one of kafka, memory, folder, found none";
    refused("  late: { from: late, kafka: { topic: late.v1 } }", "  «late: { from: late }", message, "keep one");
}

#[test]
fn output_goes_to_one_sink() {
    let message = "sink `alerts` takes `alerts` already";
    let text = "  more: { from: «alerts, kafka: { topic: more.v1 } }\n  late: {";
    refused("  late: {", text, message, "one sink so far");
}

#[test]
fn kafka_source_keeps_what_it_cannot_use() {
    let at_sinks = |removed: &str| spoilt(&[(removed, ""), ("\nsinks:", "\n«sinks:")]);
    let text = at_sinks("  dead_letter: { from: dead_letter, kafka: { topic: dlq.v1 } }\n");
    let message = "no sink takes `dead_letter`: records and rows that cannot be used would be lost";
    only_problem(&text, message, "add `dead_letter: { from: dead_letter, kafka: { topic: ... } }`");
    let text = at_sinks("  late: { from: late, kafka: { topic: late.v1 } }\n");
    only_problem(&text, "no sink takes `late`: rows that come too late would be lost", "add `late:");
    let alerts = "  alerts: { from: alerts, kafka: { topic: alerts.v1 }, encode: { format: cloudevents } }\n";
    only_problem(&at_sinks(alerts), "no sink takes `alerts`: nobody would see the alerts", "add `alerts:");
    let message = "`late` of a Kafka source must go to a topic: memory loses it";
    refused("from: late, kafka: { topic: late.v1 }", "from: late, «memory: {}", message, "kafka: { topic: ... }");
}

#[test]
fn sink_with_a_misspelt_output_is_not_called_missing_as_well() {
    let message = "text `deadletter` is not one of the choices";
    refused("from: dead_letter", "from: «deadletter", message, "did you mean `dead_letter`?");
}

#[test]
fn no_topic_is_read_and_written_or_written_twice() {
    let message = "topic `aarhus.loops` is an input of this pipeline";
    refused("topic: late.v1", "topic: «\"${city}.loops\"", message, "its own topic");
    let message = "sink `alerts` writes topic `alerts.v1` already";
    refused("topic: late.v1", "topic: «alerts.v1", message, "one topic each");
    let message = "topic `arterial.ring-road.state` belongs to the engine";
    refused("topic: late.v1", "topic: «arterial.ring-road.state", message, "another topic");
    refused("topic: late.v1", "topic: «late/v1", "`late/v1` is not a topic name", "letters");
}

#[test]
fn kafka_sink_needs_a_kafka_source() {
    let kafka = "kafka: { brokers: \"127.0.0.1:9092\", topics: [\"${city}.loops\"] }";
    let text = spoilt(&[
        (kafka, "simulate: { length: 1d }"),
        ("workers: 2", "workers: 1"),
        ("from: alerts, kafka: { topic: alerts.v1 }", "from: alerts, memory: {}"),
        ("from: late, kafka: { topic: late.v1 }", "from: late, «kafka: { topic: late.v1 }"),
        ("from: dead_letter, kafka: { topic: dlq.v1 }", "from: dead_letter, memory: {}"),
    ]);
    let message = "sink `late` writes a Kafka topic, but `sources.loops` is not on Kafka and names no brokers";
    only_problem(&text, message, "`memory: {}`");
}

#[test]
fn cloud_events_are_for_alerts() {
    let message = "`late` cannot be written as CloudEvents";
    let text = "topic: late.v1 }, encode: { format: «cloudevents }";
    refused("topic: late.v1 }", text, message, "format: json");
}

#[test]
fn output_that_nothing_makes_is_refused() {
    let predict = "predict:\n  speed: { target: speed_kmh, horizons: [15m, 30m], minimum: 0, maximum: 200, model: { online_linear: {} } }\n";
    let text =
        spoilt(&[(predict, ""), ("  late: {", "  scores: { from: «scores, kafka: { topic: scores.v1 } }\n  late: {")]);
    only_problem(&text, "nothing makes `scores`: there is no `predict:`", "remove the sink");
}

#[test]
fn commits_come_often_enough() {
    let message = "`commit_every` 11s is more than `commit_every_max` 10s";
    refused("commit_every: 200ms", "commit_every: «11s", message, "raise `commit_every_max`");
    let message = "`commit_every_max` 1m is more than 30s";
    refused("commit_every: 200ms", "commit_every_max: «1m", message, "Kafka would abort");
}

#[test]
fn address_and_instance_can_be_used() {
    for wrong in ["localhost:9464", "127.0.0.1", ":9464", "127.0.0.1:99999"] {
        let message = format!("`{wrong}` is not an address to listen on");
        refused("listen: \"127.0.0.1:9464\"", &format!("listen: «\"{wrong}\""), &message, "0.0.0.0:9464");
    }
    let message = "`Node 1` is not a name for an instance";
    refused("workers: 2", "workers: 2, instance: «Node 1", message, "transactional id");
}

#[test]
fn sink_in_memory_beside_kafka_does_not_shift_the_numbers_of_topics() {
    let text = GOOD.replacen(
        "from: alerts, kafka: { topic: alerts.v1 }, encode: { format: cloudevents }",
        "from: alerts, memory: {}",
        1,
    );
    let text = text.replacen("file: sites.csv", "rows: [{ sensor_id: L1, free_flow_kmh: 100 }]", 1);
    let file = PipelineFile::parse("pipeline.yaml", &text, &|_| None, &Registry::standard());
    let plan = file.plan(Path::new(""), &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"));
    let topics: Vec<_> =
        plan.sinks.declared().iter().map(|(name, sink)| (name.as_str(), sink.kafka.is_some())).collect();
    assert_eq!(
        topics,
        [("dead_letter", true), ("late", true)],
        "the ledger has a topic for each of them, in this order"
    );
    assert_eq!((plan.sinks.sink(Output::Alerts), plan.sinks.sink(Output::Late)), (None, Some(1)));
}

#[test]
fn folder_sinks_stand_alone_since_two_ledgers_cannot_commit_together() {
    let message = "sink `late` goes to a folder, but positions and state of a Kafka source are kept in Kafka: two \
                   ledgers cannot commit together";
    refused("kafka: { topic: late.v1 }", "«folder: { path: out }", message, "arterial backfill");
    let over = |source: &str, sinks: &str| {
        let (start, rest) = GOOD.split_once("    kafka: {").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let (middle, end) = rest.split_once("sinks:\n").unwrap();
        let (_, end) = end.split_once("delivery").unwrap();
        let text = format!("{start}    {source}\n{middle}sinks:\n{sinks}delivery{end}");
        text.replace("file: sites.csv", "rows: [{ sensor_id: L1, free_flow_kmh: 100 }]")
            .replace("workers: 2, ", "")
            .replace(", future_skew: 60s", "")
    };
    let file = "file: { path: rows.parquet }";
    let both = |late: &str| {
        format!("  alerts: {{ from: alerts, folder: {{ path: out }} }}\n  late: {{ from: late, {late} }}\n")
    };
    let text = over(file, &both("folder: { path: «elsewhere }"));
    only_problem(
        &text,
        "sink `alerts` goes to `out`, another folder: two ledgers cannot commit together",
        "same folder",
    );
    let text = over("file: { path: ./out }", &both("memory: {}").replace("path: out", "path: «out"));
    let message = "sink `alerts` writes the folder `out`, and the source reads the file `./out` there";
    only_problem(&text, message, "name a folder that is not there yet");
    let text = over(file, &both("«kafka: { topic: late }"));
    let message = "sink `late` writes a Kafka topic, but `sources.loops` is not on Kafka and names no brokers";
    only_problem(&text, message, "use `memory: {}`, `folder: { path: ... }`, or a `kafka` source");
    let text = over("feed: {}", &both("memory: {}").replace("folder:", "«folder:"));
    let message = "sink `alerts` goes to a folder, but the positions of a feed are kept in the memory of the embedding \
                   program: two ledgers cannot commit together";
    only_problem(&text, message, "memory: {}");
    assert_eq!(problems(&over(file, &both("folder: { path: out }"))), [], "exactly once");
    let text = over(file, &both("folder: { path: out, format: «parquet }"));
    only_problem(
        &text,
        "`late` cannot be written as Parquet: its records are as they came, with headers",
        "`format: ndjson`",
    );
    let events = "folder: { path: out, format: «parquet }, encode: { format: cloudevents }";
    let text = over(
        file,
        &both("folder: { path: out }").replace("folder: { path: out } }\n  late", &format!("{events} }}\n  late")),
    );
    only_problem(&text, "Parquet has no headers, which CloudEvents are", "leave `encode` out");
}

#[test]
fn drift_is_told_by_a_predictor_that_looks_for_it_and_does_what_it_can() {
    let sink = |drift: &str, from: &str| {
        spoilt(&[
            ("maximum: 200, model", &format!("maximum: 200, {drift}model")),
            (
                "  late: { from: late,",
                &format!("  drift: {{ from: {from}drift, kafka: {{ topic: drift.v1 }} }}\n  late: {{ from: late,"),
            ),
        ])
    };
    assert_eq!(problems(&sink("drift: {}, ", "")), []);
    only_problem(&sink("", "«"), "nothing makes `drift`: no predictor has `drift:`", "`drift: { effect: none }`");
    let within = |drift: &str| spoilt(&[("maximum: 200, model", &format!("maximum: 200, drift: {drift}, model"))]);
    let zone = "`Europe/Kopenhagen` is not a time zone";
    only_problem(&within("{ timezone: «Europe/Kopenhagen }"), zone, "Europe/Copenhagen");
    assert_eq!(problems(&within("{ effect: rewarm, detector: { page_hinkley: { threshold: 20 } } }")), []);
    for wrong in
        ["{ effect: forgets }", "{ detector: { adwin: { delta: 1 } } }", "{ min_labels: -1 }", "{ detector: {} }"]
    {
        assert_eq!(problems(&within(wrong)).len(), 1, "{wrong}");
    }
}
