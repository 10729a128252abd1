//! Rules of the pipeline file about what comes in: names, sources, tables, cleaning, times.

use std::collections::BTreeMap;

use arterial::spec::{PipelineFile, PropertyRefusal, Registry};

use super::spec_support::{GOOD, only_problem, problems, refused, spoilt};

const KAFKA: &str = "    kafka: { brokers: \"127.0.0.1:9092\", topics: [\"${city}.loops\"] }\n";

#[test]
fn names_are_lower_case_and_a_near_one_is_offered() {
    let rule = "names have up to 100 lower-case letters, digits, `_` and `-`, a letter or digit first";
    let hint = format!("{rule}: `ring-road`");
    refused("pipeline: ring-road", "pipeline: «Ring Road", "`Ring Road` is not a name for a pipeline", &hint);
    refused("  loops:", "  «Loops:", "`Loops` is not a name", "`loops`");
    refused("  late: {", "  «late.v1: {", "`late.v1` is not a name", "`late-v1`");
    let long = "x".repeat(101);
    let message = format!("`{long}` is not a name for a pipeline");
    refused("pipeline: ring-road", &format!("pipeline: «{long}"), &message, rule);
}

#[test]
fn predictor_with_a_hyphen_is_refused_since_measure_would_subtract() {
    let message = "`speed-ahead` cannot name a predictor: `measure` would read it as a subtraction";
    refused("  speed: {", "  «speed-ahead: {", message, "use `_`");
}

#[test]
fn exactly_one_source_is_read() {
    let other = "  more: { simulate: { length: 1d }, decode: { schema: s }, partitioned_by: a, event_time: { column: b, max_delay: 1s } }\n";
    let text = spoilt(&[("\nsources:\n", &format!("\n«sources:\n{other}"))]);
    only_problem(&text, "expected exactly one source, found 2: more, loops", "one source so far");
    let none = "version: 1\npipeline: a\n«sources: {}\nwindow: { size: 1m, key: [a], columns: { n: count(*) } }\n";
    only_problem(none, "expected exactly one source, found none", "one source so far");
}

#[test]
fn source_is_of_exactly_one_kind() {
    let both = format!("{KAFKA}    simulate: {{ length: 1d }}\n");
    let text = spoilt(&[(KAFKA, &both), ("  loops:", "  «loops:")]);
    only_problem(
        &text,
        "source `loops` needs exactly one of kafka, file, simulate, feed, custom, found kafka and simulate",
        "keep one",
    );
    // Without a Kafka source its sinks have no brokers; that is told too.
    let found = problems(&spoilt(&[(KAFKA, "")]));
    assert_eq!(found[0].message, "source `loops` needs exactly one of kafka, file, simulate, feed, custom, found none");
    assert_eq!((found[0].at.line, found[0].at.column), (5, 3));
}

#[test]
fn table_is_of_exactly_one_kind() {
    let message = "table `sites` needs exactly one of file, rows, found file and rows";
    refused("  sites: { file: sites.csv,", "  «sites: { rows: [], file: sites.csv,", message, "keep one");
}

#[test]
fn exactly_once_on_the_embedded_broker_is_refused_where_it_is_promised() {
    let message = "`delivery: exactly_once` cannot be kept with `brokers: embedded`";
    only_problem(&embedded(&[("delivery: exactly", "delivery: «exactly")]), message, "at_least_once");
    // Unwritten, it is promised by default: then the brokers are the place.
    let by_default = [("brokers: embedded", "brokers: «embedded"), ("delivery: exactly_once\n", "")];
    only_problem(&embedded(&by_default), message, "name a real broker");
    assert_eq!(problems(&embedded(&[("exactly_once", "at_least_once")])), []);
}

/// The good file on an embedded broker but for `delivery`, then edited.
fn embedded(edits: &[(&str, &str)]) -> String {
    let mut text = spoilt(&[("brokers: \"127.0.0.1:9092\"", "brokers: embedded, partitions: 4")]);
    for topic in ["alerts.v1", "late.v1", "dlq.v1"] {
        text = text.replace(topic, &format!("{topic}, create: {{ partitions: 2 }}"));
    }
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn embedded_broker_starts_empty_so_topics_are_made_with_stated_partitions() {
    let stated = ("brokers: embedded, partitions: 4", "brokers: «embedded");
    let text = embedded(&[("exactly_once", "at_least_once"), stated]);
    only_problem(&text, "`brokers: embedded` needs `partitions`", "add `partitions: 4`");
    let created = ("kafka: { topic: late.v1, create: { partitions: 2 } }", "«kafka: { topic: late.v1 }");
    let text = embedded(&[("exactly_once", "at_least_once"), created]);
    only_problem(&text, "topic `late.v1` cannot exist: the embedded broker starts empty", "create: { partitions: 4 }");
    let message = "`partitions` goes with `brokers: embedded` only";
    refused("9092\", topics", "9092\", «partitions: 4, topics", message, "never created");
}

#[test]
fn brokers_are_hosts_with_ports() {
    for wrong in ["broker", "broker:", "broker:0", "broker:70000", ":9092", "a:1,,b:2", "a b:1", "::1:9092"] {
        let message = format!("`{wrong}` is not a list of brokers");
        refused("\"127.0.0.1:9092\", topics", &format!("«\"{wrong}\", topics"), &message, "host:port");
    }
    for right in ["broker:9092", "a:1,b:2", "a:1, b:2", "[::1]:9092"] {
        assert_eq!(problems(&GOOD.replace("127.0.0.1:9092", right)), [], "{right}");
    }
}

#[test]
fn topics_are_legal_and_stand_once() {
    let message = "`a b` is not a topic name";
    refused("[\"${city}.loops\"]", "[«a b]", message, "1 to 249 letters");
    refused("[\"${city}.loops\"]", "[a, b, «a]", "topic `a` stands twice", "remove one");
}

#[test]
fn start_is_a_word_or_a_time() {
    let start = |text: &str| format!("topics: [\"${{city}}.loops\"], start_at: «{text} }}");
    let from = "topics: [\"${city}.loops\"] }";
    let message = |text: &str| format!("`{text}` is neither `earliest`, `latest` nor a time");
    refused(from, &start("earlyest"), &message("earlyest"), "did you mean `earliest`?");
    refused(from, &start("2026-11-23"), &message("2026-11-23"), "2026-11-23T08:00:00Z");
    for right in ["earliest", "latest", "\"2026-11-23T08:00:00+01:00\""] {
        assert_eq!(problems(&spoilt(&[(from, &start(right).replace('«', ""))])), [], "{right}");
    }
}

#[test]
fn refused_kafka_properties_are_placed_at_their_keys() {
    let refuse = |properties: &BTreeMap<String, String>| {
        let refusal = |name: &String| PropertyRefusal {
            property: name.clone(),
            reason: format!("`{name}` is set by the engine"),
            hint: Some("remove it".to_owned()),
        };
        properties.keys().filter(|name| *name == "enable.auto.commit").map(refusal).collect()
    };
    let registry = Registry { kafka_properties: Box::new(refuse), ..Registry::default() };
    let text = spoilt(&[("topics: [", "properties: { client.id: a, enable.auto.commit: \"true\" }, topics: [")]);
    let errors = PipelineFile::parse("p.yaml", &text, &|_| None, &registry).finish().expect_err("a bad file");
    let [problem] = errors.problems() else { panic!("{errors}") };
    assert_eq!(problem.message, "`enable.auto.commit` is set by the engine");
    assert_eq!((problem.at.line, problem.at.column), (6, 69));
    assert_eq!(problem.path.to_string(), "sources.loops.kafka.properties.enable.auto.commit");
}

#[cfg(feature = "kafka")]
#[test]
fn standard_registry_asks_the_kafka_connector() {
    let text = spoilt(&[("topics: [", "properties: { group.id: mine }, topics: [")]);
    let errors = PipelineFile::parse("p.yaml", &text, &|_| None, &Registry::standard()).finish().expect_err("refused");
    assert_eq!(errors.problems().len(), 1, "{errors}");
    assert!(errors.problems()[0].message.contains("group.id"), "{errors}");
}

#[test]
fn stamps_at_the_end_need_the_interval() {
    refused("stamps: end, interval: 1m", "stamps: «end", "`stamps: end` needs `interval`", "add `interval`");
}

#[test]
fn malformed_interval_is_not_called_missing_as_well() {
    refused("interval: 1m", "interval: «1 minute", "text `1 minute` is not a duration", "250ms");
}

#[test]
fn future_skew_stays_within_max_delay() {
    refused(
        "future_skew: 60s",
        "future_skew: «91s",
        "`future_skew` 91s is more than `max_delay` 90s",
        "raise `max_delay`",
    );
    assert_eq!(problems(&spoilt(&[("future_skew: 60s", "future_skew: 90s")])), []);
    assert_eq!(problems(&spoilt(&[("future_skew: 60s", "future_skew: unbounded")])), []);
    let said = format!("{:?}", problems(&spoilt(&[("future_skew: 60s", "future_skew: 3 parsecs")])));
    assert!(said.contains("`3 parsecs` is not a duration") && said.contains("line: 9"), "{said}");
}

#[test]
fn lengths_of_time_that_must_last_do() {
    let zeros = [
        ("size: 5m", "size: «0s", "window.size"),
        ("interval: 1m", "interval: «0m", "sources.loops.event_time.interval"),
        ("runtime: {", "keys: { expire_after: «0d }\nruntime: {", "keys.expire_after"),
        ("commit_every: 200ms", "commit_every: «0ms", "runtime.commit_every"),
        ("summary:", "expire_after: «0s\n    summary:", "alerts.congestion.expire_after"),
        ("model: {", "baselines: { slot: «0s }, model: {", "predict.speed.baselines.slot"),
    ];
    for (from, to, path) in zeros {
        refused(from, to, &format!("`{path}` must be longer than 0s"), "");
    }
}

#[test]
fn time_zones_exist() {
    let message = "`Europe/Copenhagn` is not a time zone";
    refused("Europe/Copenhagen", "«Europe/Copenhagn", message, "did you mean `Europe/Copenhagen`?");
    let message = "`CTE` is not a time zone";
    refused("- differences", "- time_of_day: { timezone: «CTE }\n  - differences", message, "did you mean `CET`?");
    let message = "`Mars/Olympus` is not a time zone";
    refused("model: {", "baselines: { timezone: «Mars/Olympus }, model: {", message, "write an IANA name");
}

#[test]
fn points_in_time_are_rfc_3339() {
    for wrong in ["yesterday", "\"2026-11-23 25:00:00Z\"", "\"2026-11-23T08:00:00\""] {
        let message = format!("`{}` is not a time", wrong.trim_matches('"'));
        refused("model: {", &format!("score_from: «{wrong}, model: {{"), &message, "RFC 3339");
    }
}

#[test]
fn dedupe_stands_before_whatever_can_remove_rows() {
    let dedupe = "  - dedupe: { key: [sensor_id, observed_at], within: 10m }\n";
    let lookup = "  - lookup: { table: sites, on: sensor_id, columns: [free_flow_kmh] }\n";
    let late = dedupe.replace("- dedupe", "- «dedupe");
    let message = |step: &str| format!("`dedupe` stands after `{step}`, which can remove rows or change them");
    let after = |step: &str| spoilt(&[(dedupe, ""), (lookup, &format!("{step}{late}"))]);
    only_problem(&after(lookup), &message("lookup"), "move it before");
    only_problem(&after("  - sql: SELECT * FROM rows\n"), &message("sql"), "move it before");
    let range = "  - range: { columns: { speed_kmh: {} }, otherwise: drop }\n";
    only_problem(&after(range), &message("range"), "move it before");
    for harmless in [lookup.replace(" }", ", missing: \"null\" }"), range.replace("drop", "clamp")] {
        assert_eq!(problems(&after(&harmless).replace('«', "")), [], "{harmless}");
    }
}

#[test]
fn key_of_dedupe_holds_the_partition_and_the_time() {
    let message = "the key of `dedupe` must include `observed_at` (`event_time.column`)";
    refused("{ key: [sensor_id, observed_at]", "{ «key: [sensor_id]", message, "count as duplicates");
    let message = "the key of `dedupe` must include `sensor_id` (`partitioned_by`)";
    refused("{ key: [sensor_id, observed_at]", "{ «key: [observed_at]", message, "other partitions");
}

#[test]
fn dedupe_remembers_as_far_back_as_a_row_may_be_in_time() {
    let message = "`within` 329s is less than `max_delay` 90s and a window of 5m less `interval` 1m";
    refused("within: 10m", "within: «329s", message, "use 330s or more");
    assert_eq!(problems(&spoilt(&[("within: 10m", "within: 330s")])), []);
    // Stamped at their start, readings lie in a window up to its very beginning.
    let start = ("stamps: end, interval: 1m", "stamps: start");
    let message = "`within` 389s is less than `max_delay` 90s and a window of 5m";
    only_problem(&spoilt(&[start, ("within: 10m", "within: «389s")]), message, "use 390s or more");
    assert_eq!(problems(&spoilt(&[start, ("within: 10m", "within: 390s")])), []);
}

#[test]
fn lookup_names_a_table_that_exists() {
    refused("table: sites", "table: «site", "table `site` is not declared under `tables:`", "did you mean `sites`?");
    let none = [("tables:\n  sites: { file: sites.csv, key: sensor_id }\n", ""), ("tables: { sites: [] }", "")];
    let text = spoilt(&[none[0], ("table: sites", "table: «sites"), ("{ tables: { sites: [] } }", "{}")]);
    only_problem(&text, "table `sites` is not declared under `tables:`", "sites: { file: sites.csv, key: ... }");
}

#[test]
fn tests_have_their_own_names_expect_something_and_use_declared_tables() {
    let twice = "  - { name: nothing comes of nothing, given: {}, expect: { late: [] } }\ntests:\n";
    let first = "tests:\n  - { name: nothing comes of nothing, given: {}, expect: { late: [] } }\n";
    assert!(twice.contains(&first[7..]));
    let text =
        spoilt(&[("tests:\n", first), ("- name: nothing", "- name: «nothing")]).replacen("{ name: «", "{ name: ", 1);
    only_problem(&text, "two tests are named `nothing comes of nothing`", "own sentence");
    refused("expect: { clean: [] }", "«expect: {}", "the test expects nothing, so it cannot fail", "name an output");
    let message = "table `roads` is not declared under `tables:`";
    refused("tables: { sites: [] }", "tables: { «roads: [] }", message, "tables: sites");
}

#[test]
fn settings_of_csv_files_are_refused_for_files_that_are_none() {
    let hint = "ends in `.csv`, `.csv.gz` or `.csv.zst`";
    let text = |path: &str, csv: &str| {
        format!(
            "version: 1\npipeline: a\nsources:\n  loops:\n    file: {{ path: {path}, {csv}: {{ add: {{ road: A1 }} }} }}\n    \
             decode: {{ format: csv, schema: traffic-observation.v1 }}\n    partitioned_by: sensor_id\n    event_time: {{ \
             column: observed_at, max_delay: 1m }}\nwindow: {{ size: 1m, key: [sensor_id], columns: {{ n: count(*) }} \
             }}\n"
        )
    };
    for path in ["loops.ndjson", "loops.parquet", "loops.json.gz", "loops"] {
        let message = format!("`csv` says nothing of `{path}`, which is no CSV file by its name");
        only_problem(&text(path, "«csv"), &message, hint);
    }
    for path in ["loops.csv", "loops.CSV.gz", "days/*.csv.zst", "\"days/*\""] {
        assert_eq!(problems(&text(path, "csv")), []);
    }
}

#[test]
fn what_says_nothing_of_files_is_refused_beside_them() {
    let text = |path: &str, format: &str, more: &str, runtime: &str| {
        format!(
            "version: 1\npipeline: a\nsources:\n  loops:\n    file: {{ path: {path} }}\n    decode: {{ {format}schema: \
             traffic-observation.v1 }}\n    partitioned_by: sensor_id\n    event_time: {{ column: observed_at, \
             max_delay: 1m{more} }}\nwindow: {{ size: 1m, key: [sensor_id], columns: {{ n: count(*) }} }}\n{runtime}"
        )
    };
    let message = "`loops.ndjson.gz` is not read as csv: its name says json";
    only_problem(&text("loops.ndjson.gz", "format: «csv, ", "", ""), message, "correct the one or the other");
    let message = "`loops.csv` is not read as json: its name says csv";
    only_problem(&text("loops.csv", "format: «json, ", "", ""), message, "correct");
    only_problem(&text("a.csv", "", ", «future_skew: 1m", ""), "`future_skew` says nothing of files", "remove it");
    only_problem(&text("a.csv", "", ", «max_drift: 1m", ""), "`max_drift` says nothing of files", "remove it");
    let message = "`static_membership` is for Kafka, which this pipeline does without";
    only_problem(&text("a.csv", "", "", "runtime: { «static_membership: true }\n"), message, "remove it");
    for (path, format) in [("a.csv", "format: csv, "), ("a.csv", ""), ("days/*", "format: csv, "), ("a.parquet", "")] {
        assert_eq!(problems(&text(path, format, "", "")), [], "{path}");
    }
}

#[test]
fn delimited_text_needs_names_for_its_cells_and_characters_between_them() {
    let decode = "decode: { schema: traffic-observation.v1, timezone: Europe/Copenhagen }";
    let csv = |rest: &str| format!("decode: {{ format: {rest}, schema: traffic-observation.v1 }}");
    let names = "columns: [sensor_id, observed_at]";
    refused(decode, &csv("«csv"), "`format: csv` needs `columns`", "name the cells of a record in their order");
    refused(decode, &csv(&format!("json, «{names}")), "`columns` goes with `format: csv` only", "add `format: csv`");
    let message = "'é' cannot tell cells apart";
    refused(decode, &csv(&format!("csv, delimiter: «é, {names}")), message, "one ASCII character");
    let message = "`delimiter` and `quote` are the same character";
    refused(decode, &csv(&format!("csv, {names}, quote: «\",\"")), message, "change one of them");
}
