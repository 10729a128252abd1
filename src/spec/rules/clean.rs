//! `clean:` steps in their order, and the tables they look up.

use super::{Check, neighbours};
use crate::spec::model::{Missing, Otherwise, Span, Stamps};
use crate::spec::part::Part;
use crate::spec::suggest;

pub(super) fn check(check: &mut Check<'_>) {
    let tables = check.file.get("tables").keys();
    // The first step that takes rows away or gives them another shape.
    let mut remover: Option<&str> = None;
    for step in check.file.get("clean").items() {
        let Some((kind, settings)) = step.variant() else { continue };
        match kind {
            "dedupe" => check_dedupe(check, &settings, remover),
            "lookup" => {
                check_table(check, &settings.get("table"), &tables);
                neighbours::check_read(check, &settings.get("table"), false);
            }
            "normalise" => check_normalise(check, &settings),
            _ => {}
        }
        if removes_rows(kind, &settings) {
            remover = remover.or(Some(kind));
        }
    }
}

fn removes_rows(kind: &str, settings: &Part<'_>) -> bool {
    match kind {
        "sql" => true,
        "range" => {
            let otherwise = settings.get("otherwise").read_or_default();
            matches!(otherwise, Some(Otherwise::Drop | Otherwise::DeadLetter))
        }
        "lookup" => {
            let missing = settings.get("missing").read_or_default();
            matches!(missing, Some(Missing::Drop | Missing::DeadLetter))
        }
        _ => false,
    }
}

fn check_dedupe(check: &mut Check<'_>, dedupe: &Part<'_>, remover: Option<&str>) {
    if let Some(remover) = remover {
        let message = format!("`dedupe` stands after `{remover}`, which can remove rows or change them");
        let hint = "move it before that step: a repeated reading counts as a duplicate, whatever else is wrong with it";
        check.push(dedupe.key_problem(message, hint));
    }
    let key = dedupe.get("key");
    let event_time = check.source().and_then(|source| source.get("event_time").get("column").text());
    if key.given() && !key.is_empty() {
        let columns: Vec<&str> = key.texts().into_iter().map(|(name, _)| name).collect();
        let needed = [(check.partitioned_by(), "partitioned_by"), (event_time, "event_time.column")];
        for (column, role) in needed.into_iter().filter_map(|(column, role)| Some((column?, role))) {
            if !columns.contains(&column) {
                let hint =
                    "without it different readings would count as duplicates, or repeats meet in other partitions";
                check.push(key.problem(format!("the key of `dedupe` must include `{column}` (`{role}`)"), hint));
            }
        }
    }
    check_within(check, &dedupe.get("within"));
}

/// A repeat counts as one only while its first is remembered. A row stamped `t` is in time until the watermark, the newest
/// time less `max_delay`, reaches the end of its window; that end lies at most the window's size after `t`, less
/// `interval` where `t` is the end of one. So the newest may be ahead by all of these.
fn check_within(check: &mut Check<'_>, within: &Part<'_>) {
    let event_time = check.source().map(|source| source.get("event_time"));
    let interval = event_time.map(|event_time| match event_time.get("stamps").read_or_default() {
        Some(Stamps::Start) => Some(Span::default()),
        _ => event_time.get("interval").read::<Span>(),
    });
    let size = check.file.get("window").get("size").read::<Span>();
    let (Some(span), Some(delay), Some(size), Some(Some(interval))) =
        (within.read::<Span>(), check.max_delay(), size, interval)
    else {
        return;
    };
    let least = Span { micros: delay.micros.saturating_add(size.micros).saturating_sub(interval.micros) };
    if span < least {
        let less = if interval == Span::default() { String::new() } else { format!(" less `interval` {interval}") };
        let message = format!("`within` {span} is less than `max_delay` {delay} and a window of {size}{less}");
        let hint =
            format!("a repeat may lie that far behind the newest reading and still be in time: use {least} or more");
        check.push(within.problem(message, hint));
    }
}

/// Parameters are given once, and then nothing is learned.
fn check_normalise(check: &mut Check<'_>, normalise: &Part<'_>) {
    let (given, of_file) = (normalise.get("parameters"), normalise.get("parameters_file"));
    if given.given() && of_file.given() {
        check.push(of_file.key_problem("`parameters` are given already", "remove one of the two"));
    }
    if !given.given() && !of_file.given() {
        return;
    }
    for key in ["min_count", "freeze_after", "by"] {
        let part = normalise.get(key);
        if part.given() {
            let message = format!("`{key}` is for parameters that are learned, and these are given");
            check.push(part.key_problem(message, format!("remove `{key}`, or the parameters")));
        }
    }
}

pub(super) fn check_table(check: &mut Check<'_>, table: &Part<'_>, tables: &[&str]) {
    let Some(name) = table.text().filter(|name| !tables.contains(name)) else { return };
    let hint = suggest::hint(name, tables.iter().copied(), "tables");
    let hint = hint.unwrap_or_else(|| format!("declare it: `tables: {{ {name}: {{ file: {name}.csv, key: ... }} }}`"));
    check.push(table.problem(format!("table `{name}` is not declared under `tables:`"), hint));
}
