//! `sinks:`: one kind each, every output at most once, nothing lost, no topic in a circle.

use std::path::{Component, Path};

use super::{Check, sources};
use crate::spec::model::{EMBEDDED, EncodeFormat, FolderFormat, Output};
use crate::spec::part::Part;

pub(super) fn check(check: &mut Check<'_>) {
    let mut outputs: Vec<(Output, &str)> = Vec::new();
    for (name, sink) in check.file.get("sinks").entries() {
        sources::check_kind(check, &sink, &format!("sink `{name}`"), &["kafka", "memory", "folder"]);
        check_topic(check, name, &sink);
        check_folder(check, name, &sink.get("folder"));
        let from = sink.get("from");
        let Some(output) = from.read::<Output>() else { continue };
        match outputs.iter().find(|(earlier, _)| *earlier == output) {
            Some((_, earlier)) => {
                let message = format!("sink `{earlier}` takes `{}` already", word(output));
                check.push(from.problem(message, "an output goes to one sink so far: remove one of the two"));
            }
            None => outputs.push((output, name)),
        }
        check_encoding(check, &sink, output);
        check_columns(check, &sink, output);
        check_origin(check, &from, output);
        check_kept(check, &sink, output);
    }
    check_required(check, &outputs);
}

/// The output's word in the file.
fn word(output: Output) -> &'static str {
    match output {
        Output::Alerts => "alerts",
        Output::Forecasts => "forecasts",
        Output::Scores => "scores",
        Output::Drift => "drift",
        Output::Promotions => "promotions",
        Output::Late => "late",
        Output::DeadLetter => "dead_letter",
    }
}

fn check_topic(check: &mut Check<'_>, name: &str, sink: &Part<'_>) {
    let kafka = sink.get("kafka");
    let part = kafka.get("topic");
    if !kafka.given() {
        return;
    }
    if let Some(source) = check.source().filter(|source| !source.get("kafka").given() && !source.is_empty()) {
        let message =
            format!("sink `{name}` writes a Kafka topic, but `{}` is not on Kafka and names no brokers", source.path);
        check.push(kafka.key_problem(message, "use `memory: {}`, `folder: { path: ... }`, or a `kafka` source"));
    }
    sources::check_topic(check, &part);
    let Some(topic) = part.text() else { return };
    check_created(check, &kafka, topic);
    let inputs = check.kafka_source().map(|kafka| kafka.get("topics").texts()).unwrap_or_default();
    if inputs.iter().any(|(input, _)| *input == topic) {
        let hint = "the pipeline would read what it writes: give the sink its own topic";
        check.push(part.problem(format!("topic `{topic}` is an input of this pipeline"), hint));
    }
    let pipeline = check.file.get("pipeline").text().unwrap_or_default();
    if ["state", "control"].iter().any(|kind| topic == format!("arterial.{pipeline}.{kind}")) {
        let message = format!("topic `{topic}` belongs to the engine");
        check.push(part.problem(message, "give the sink another topic"));
    }
    let earlier = check.file.get("sinks").entries().into_iter().take_while(|(other, _)| *other != name);
    if let Some((other, _)) = { earlier }.find(|(_, other)| other.get("kafka").get("topic").text() == Some(topic)) {
        let message = format!("sink `{other}` writes topic `{topic}` already");
        check.push(part.problem(message, "records of two kinds in one topic cannot be told apart: use one topic each"));
    }
}

/// A folder is a ledger of its own: what is committed there cannot be committed together with anything elsewhere.
fn check_folder(check: &mut Check<'_>, name: &str, folder: &Part<'_>) {
    if !folder.given() {
        return;
    }
    let kept = |place: &str| format!("sink `{name}` goes to a folder, but {place}: two ledgers cannot commit together");
    if check.kafka_source().is_some() {
        let message = kept("positions and state of a Kafka source are kept in Kafka");
        check.push(folder.key_problem(message, "write `kafka: { topic: ... }`; `arterial backfill` fills folders"));
    } else if check.source().is_some_and(|source| source.get("feed").given()) {
        let message = kept("the positions of a feed are kept in the memory of the embedding program");
        check.push(folder.key_problem(message, "write `memory: {}`"));
    } else if check.file.get("ledger").given() {
        let message = kept("`ledger` keeps positions and state");
        check.push(folder.key_problem(message, "remove `ledger`, or write `memory: {}`"));
    }
    let path = folder.get("path");
    check_apart_from_input(check, name, &path);
    let earlier = check.file.get("sinks").entries().into_iter().take_while(|(other, _)| *other != name);
    let paths = earlier.filter_map(|(other, sink)| Some((other, sink.get("folder").get("path").text()?)));
    if let Some(text) = path.text()
        && let Some((other, first)) = { paths }.find(|(_, other)| *other != text)
    {
        let message = format!("sink `{other}` goes to `{first}`, another folder: two ledgers cannot commit together");
        check.push(path.problem(message, "name the same folder: each sink has a file of its own in it"));
    }
}

/// What is read is no folder to write to.
fn check_apart_from_input(check: &mut Check<'_>, name: &str, path: &Part<'_>) {
    let Some(source) = check.source() else { return };
    let (Some(output), Some(input)) = (path.text(), source.get("file").get("path").text()) else { return };
    // Components leave out `./` and doubled slashes.
    if Path::new(output).components().filter(named).eq(Path::new(input).components().filter(named)) {
        let message =
            format!("sink `{name}` writes the folder `{output}`, and the source reads the file `{input}` there");
        check.push(path.problem(message, "name a folder that is not there yet, or one of an earlier run: `out`"));
    }
}

fn named(component: &Component<'_>) -> bool {
    *component != Component::CurDir
}

/// The embedded broker starts empty, and nobody else creates topics there.
fn check_created(check: &mut Check<'_>, kafka: &Part<'_>, topic: &str) {
    let embedded = check.kafka_source().is_some_and(|source| source.get("brokers").text() == Some(EMBEDDED));
    if embedded && !kafka.get("create").given() {
        let message = format!("topic `{topic}` cannot exist: the embedded broker starts empty");
        check.push(kafka.key_problem(message, "add `create: { partitions: 4 }`"));
    }
}

fn check_encoding(check: &mut Check<'_>, sink: &Part<'_>, output: Output) {
    let format = sink.get("encode").get("format");
    if format.read() == Some(EncodeFormat::Cloudevents) && output != Output::Alerts {
        let message = format!("`{}` cannot be written as CloudEvents", word(output));
        check.push(format.problem(message, "only alerts can: write `format: json`"));
    }
}

/// Columns have no room for headers, nor for bytes as they came.
fn check_columns(check: &mut Check<'_>, sink: &Part<'_>, output: Output) {
    let format = sink.get("folder").get("format");
    if format.read() != Some(FolderFormat::Parquet) {
        return;
    }
    if !output.is_made() {
        let message =
            format!("`{}` cannot be written as Parquet: its records are as they came, with headers", word(output));
        check.push(format.problem(message, "write `format: ndjson`"));
    }
    if sink.get("encode").get("format").read() == Some(EncodeFormat::Cloudevents) {
        let hint = "leave `encode` out: every field of an alert is a column, what CloudEvents adds is in headers";
        check.push(format.problem("Parquet has no headers, which CloudEvents are", hint));
    }
}

/// An output that nothing makes.
fn check_origin(check: &mut Check<'_>, from: &Part<'_>, output: Output) {
    let section = match output {
        Output::Alerts => "alerts",
        Output::Forecasts | Output::Scores => "predict",
        Output::Drift => return check_predictors(check, from, (output, "drift"), "drift: { effect: none }"),
        Output::Promotions => {
            return check_predictors(
                check,
                from,
                (output, "challengers"),
                "challengers: { NAME: { online_linear: {} } }",
            );
        }
        Output::Late | Output::DeadLetter => return,
    };
    if check.file.get(section).is_empty() {
        let message = format!("nothing makes `{}`: there is no `{section}:`", word(output));
        check.push(from.problem(message, format!("add `{section}:`, or remove the sink")));
    }
}

/// Some predictor has to have what makes the output.
fn check_predictors(check: &mut Check<'_>, from: &Part<'_>, (output, key): (Output, &str), example: &str) {
    let predictors = check.file.get("predict").entries();
    if !predictors.iter().any(|(_, predictor)| predictor.get(key).given()) {
        let message = format!("nothing makes `{}`: no predictor has `{key}:`", word(output));
        check.push(from.problem(message, format!("add `{example}` to a predictor, or remove the sink")));
    }
}

/// Records that Kafka delivered must not end in memory.
fn check_kept(check: &mut Check<'_>, sink: &Part<'_>, output: Output) {
    let memory = sink.get("memory");
    let lossy = matches!(output, Output::Late | Output::DeadLetter) && memory.given();
    if lossy && check.kafka_source().is_some() {
        let message = format!("`{}` of a Kafka source must go to a topic: memory loses it", word(output));
        check.push(memory.key_problem(message, "write `kafka: { topic: ... }`"));
    }
}

/// Under a Kafka source nothing may get lost, and no alert stays silent.
fn check_required(check: &mut Check<'_>, outputs: &[(Output, &str)]) {
    if check.kafka_source().is_none() {
        return;
    }
    let sinks = check.file.get("sinks");
    // A sink whose `from` cannot be read may be the one that is missing.
    if sinks.entries().iter().any(|(_, sink)| sink.get("from").read::<Output>().is_none()) {
        return;
    }
    let alerts = !check.file.get("alerts").is_empty();
    let required = [
        (Output::DeadLetter, true, "records and rows that cannot be used would be lost"),
        (Output::Late, true, "rows that come too late would be lost"),
        (Output::Alerts, alerts, "nobody would see the alerts"),
    ];
    for (output, needed, reason) in required {
        if needed && !outputs.iter().any(|(taken, _)| *taken == output) {
            let name = word(output);
            let hint = format!("add `{name}: {{ from: {name}, kafka: {{ topic: ... }} }}`");
            check.push(sinks.problem(format!("no sink takes `{name}`: {reason}"), hint));
        }
    }
}
