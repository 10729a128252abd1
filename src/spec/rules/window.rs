//! `keys:`, `window:` and `features:`.

use std::collections::BTreeSet;

use super::{Check, clean, neighbours};
use crate::spec::model::{DifferencesSpec, Span};
use crate::spec::part::Part;
use crate::spec::suggest;
use crate::stages::expression::{closest, is_column};
use crate::stages::window::{Function, aggregate};

pub(super) fn check(check: &mut Check<'_>) {
    let window = check.file.get("window");
    check_key(check, &window.get("key"));
    check_lateness(check, &window.get("allowed_lateness"));
    check_columns(check, &window);
    check_expiry(check, &window);
    check_features(check);
}

fn check_key(check: &mut Check<'_>, key: &Part<'_>) {
    let columns = key.texts();
    for (index, (column, part)) in columns.iter().enumerate() {
        if columns[..index].iter().any(|(earlier, _)| earlier == column) {
            check.push(part.problem(format!("key column `{column}` stands twice"), "remove one of the two"));
        }
    }
    if let Some(partitioned_by) = check.partitioned_by()
        && !columns.is_empty()
        && !columns.iter().any(|(column, _)| *column == partitioned_by)
    {
        let message = format!("the window's key must include `{partitioned_by}`, the source's `partitioned_by`");
        let near = columns.iter().find(|(column, _)| closest(column, [partitioned_by]).is_some());
        if let Some((_, misspelt)) = near {
            return check.push(misspelt.problem(message, format!("did you mean `{partitioned_by}`?")));
        }
        let hint = format!(
            "rows of one key would come from several partitions (pipeline scope), which no single worker sees; \
             add `{partitioned_by}` to the key, or key the topic by what you want to window by"
        );
        check.push(key.problem(message, hint));
    }
}

fn check_lateness(check: &mut Check<'_>, lateness: &Part<'_>) {
    if lateness.read::<Span>().is_some_and(|span| span.micros > 0) {
        let hint =
            "closed windows are not corrected so far: write `0s`, and raise `event_time.max_delay` to wait longer";
        check.push(lateness.problem("`allowed_lateness` other than 0s is not supported", hint));
    }
}

fn check_columns(check: &mut Check<'_>, window: &Part<'_>) {
    let key: Vec<&str> = window.get("key").texts().into_iter().map(|(name, _)| name).collect();
    let columns = window.get("columns");
    for (name, part) in columns.entries() {
        if !is_column(name) {
            let hint = "use letters, digits and underscores, no digit first";
            check.push(part.key_problem(format!("`{name}` is not a column name"), hint));
        }
        if key.contains(&name) {
            let message = format!("window column `{name}` has the name of a key column");
            check.push(part.key_problem(message, "give it another name"));
        }
        check_aggregate(check, &part);
    }
    let computed = columns.keys();
    let mut seen = BTreeSet::new();
    for (name, part) in window.get("carry").texts() {
        if computed.contains(&name) || key.contains(&name) || !seen.insert(name) {
            let message = format!("carried column `{name}` is in the window already");
            check.push(part.problem(message, "remove it from `carry`, or rename the other"));
        }
    }
}

/// What aggregates are called in other engines.
const ELSEWHERE: [(&str, &str); 7] = [
    ("mean", "avg"),
    ("average", "avg"),
    ("std", "stddev"),
    ("stddev_samp", "stddev"),
    ("percentile", "quantile"),
    ("approx_percentile", "quantile"),
    ("approx_percentile_cont", "quantile"),
];

fn check_aggregate(check: &mut Check<'_>, part: &Part<'_>) {
    let Some(text) = part.text().filter(|text| aggregate(text).is_none()) else { return };
    let function = text.split('(').next().unwrap_or_default().trim();
    let known: Vec<&str> = Function::ALL.iter().map(|(name, _)| *name).chain(["quantile"]).collect();
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == function).map(|(_, ours)| *ours);
    let hint = match elsewhere.or_else(|| closest(function, known.iter().copied())) {
        Some("quantile") if function == "quantile" => {
            "write `quantile(speed_kmh, 0.95)`: a level above 0, below 1, of at most four digits".to_owned()
        }
        Some(near) if near != function => format!("did you mean `{near}`? functions: {}", known.join(", ")),
        _ => format!("write `function(column)`, as `avg(speed_kmh)` or `count(*)`; functions: {}", known.join(", ")),
    };
    check.push(part.problem(format!("`{text}` is not an aggregate of a column"), hint));
}

fn check_expiry(check: &mut Check<'_>, window: &Part<'_>) {
    let expire_after = check.file.get("keys").get("expire_after");
    if let (Some(expiry), Some(size)) = (expire_after.read::<Span>(), window.get("size").read::<Span>())
        && expiry < size
        && expiry.micros > 0
    {
        let message = format!("`expire_after` {expiry} is less than the window's size {size}");
        check.push(expire_after.problem(message, "a key would be forgotten before its first window closes: use days"));
    }
}

fn check_features(check: &mut Check<'_>) {
    let known = check.window_columns();
    let tables = check.file.get("tables").keys();
    let mut lags: Vec<(&str, Option<u32>)> = Vec::new();
    let mut seen: BTreeSet<(&str, Option<&str>)> = BTreeSet::new();
    for step in check.file.get("features").items() {
        let Some((kind, settings)) = step.variant() else { continue };
        if matches!(kind, "calendar" | "lookup" | "neighbours") {
            clean::check_table(check, &settings.get("table"), &tables);
        }
        if matches!(kind, "calendar" | "lookup") {
            neighbours::check_read(check, &settings.get("table"), false);
        }
        // What `neighbours` look at is no column.
        let columns = if kind == "neighbours" { &["column"][..] } else { &["of", "to", "column"] };
        for key in columns {
            check_window_column(check, &settings.get(key), &known);
        }
        let column = settings.get("column");
        // Of these there may be several; names that are made twice the plan refuses.
        let several = matches!(kind, "ratio" | "calendar" | "lookup" | "neighbours");
        if !several && !seen.insert((kind, column.text())) {
            let of = column.text().map(|name| format!(" of `{name}`")).unwrap_or_default();
            let message = format!("`{kind}`{of} stands twice: its columns would have the same names");
            check.push(settings.key_problem(message, "remove one of the two"));
        }
        match kind {
            "lags" => lags.extend(column.text().map(|name| (name, settings.get("count").read()))),
            "differences" => check_differences(check, &settings, &lags),
            _ => {}
        }
    }
}

fn check_differences(check: &mut Check<'_>, settings: &Part<'_>, lags: &[(&str, Option<u32>)]) {
    let Some(differences) = settings.read::<DifferencesSpec>() else { return };
    match lags.iter().find(|(column, _)| *column == differences.column) {
        None => {
            let message = format!("`differences` of `{}` needs `lags` of it before", differences.column);
            let hint = format!(
                "add `- lags: {{ column: {}, count: {} }}` above",
                differences.column,
                u64::from(differences.count) + 1
            );
            check.push(settings.key_problem(message, hint));
        }
        Some((_, Some(count))) if *count <= differences.count => {
            let message = format!(
                "{} differences need {} lags, there are {}",
                differences.count,
                u64::from(differences.count) + 1,
                count
            );
            check.push(settings.get("count").problem(message, "lower `count`, or add lags"));
        }
        Some(_) => {}
    }
}

/// A column that closed windows have.
pub(super) fn check_window_column(check: &mut Check<'_>, part: &Part<'_>, known: &[&str]) {
    let Some(name) = part.text().filter(|name| !known.is_empty() && !known.contains(name)) else { return };
    let hint = suggest::hint(name, known.iter().copied(), "window columns").unwrap_or_default();
    check.push(part.problem(format!("`{name}` is not a column of the window"), hint));
}
