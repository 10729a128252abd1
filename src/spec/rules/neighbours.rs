//! `graph:` of tables, and `neighbours` that read them: who reads which kind of table, and keys that lie in one partition.

use super::Check;
use crate::spec::part::Part;

/// What several partitions of a source are called, by its kind.
const KINDS: [&str; 4] = ["kafka", "file", "simulate", "feed"];

pub(super) fn check(check: &mut Check<'_>) {
    for (_, table) in check.file.get("tables").entries() {
        check_graph(check, &table.get("graph"));
    }
    let steps = check.file.get("features").items();
    let neighbours = steps.iter().filter_map(|step| step.variant().filter(|(kind, _)| *kind == "neighbours"));
    for (index, (_, settings)) in neighbours.enumerate() {
        check_read(check, &settings.get("table"), true);
        if index == 0 {
            check_key(check, &settings);
            check_partitions(check);
        }
    }
}

/// How near a link is can be said in one way, and of a matrix its cells say it.
fn check_graph(check: &mut Check<'_>, graph: &Part<'_>) {
    let (weight, distance) = (graph.get("weight"), graph.get("distance"));
    if weight.given() && distance.given() {
        let message = "`weight` and `distance` both say how near a link is";
        return check.push(distance.key_problem(message, "remove one of the two"));
    }
    if graph.given() && !graph.get("to").given() {
        for part in [weight, distance].iter().filter(|part| part.given()) {
            let hint =
                "add `to`, the column of the key that a link leads to; without it the table is a matrix of weights";
            check.push(part.key_problem("a matrix has no column of weights or distances", hint));
        }
    }
    let columns = ["from", "to", "weight", "distance"].map(|key| graph.get(key));
    for (index, part) in columns.iter().enumerate() {
        let Some(name) = part.text() else { continue };
        if columns[..index].iter().any(|earlier| earlier.text() == Some(name)) {
            check.push(part.problem(format!("column `{name}` is named twice"), "name another column"));
        }
    }
}

/// A declared table has to be of the kind that its reader wants.
pub(super) fn check_read(check: &mut Check<'_>, table: &Part<'_>, links: bool) {
    let Some(name) = table.text() else { return };
    let declared = check.file.get("tables").get(name);
    // A table that is neither is reported where it stands.
    let either = declared.get("graph").given() || declared.get("key").given();
    if !either || declared.get("graph").given() == links {
        return;
    }
    let (message, hint) = if links {
        (
            format!("table `{name}` has no `graph`, so nothing says who is next to whom"),
            "write `graph: { from: upstream_id, to: downstream_id }` in place of its `key`",
        )
    } else {
        (format!("table `{name}` holds links, which are looked up by no key"), "name a table with `key`")
    };
    check.push(table.problem(message, hint));
}

/// The names in a table are those of keys of one column.
fn check_key(check: &mut Check<'_>, settings: &Part<'_>) {
    let columns = check.file.get("window").get("key").texts().len();
    if columns > 1 {
        let message = format!("`neighbours` need a window key of one column, as in their table; it has {columns}");
        let hint = "window by the column that the table names, or remove `neighbours` from `features`";
        check.push(settings.get("table").problem(message, hint));
    }
}

/// What another partition holds no worker would see.
fn check_partitions(check: &mut Check<'_>) {
    let Some(source) = check.source() else { return };
    for kind in KINDS {
        let partitions = source.get(kind).get("partitions");
        if let Some(count) = partitions.read::<u32>().filter(|count| *count > 1) {
            let message = format!(
                "`neighbours` tell of other keys (pipeline scope): {count} partitions hide keys from each other"
            );
            check.push(partitions.problem(message, "write `partitions: 1`, or remove `neighbours` from `features`"));
        }
    }
    let topics = source.get("kafka").get("topics");
    let count = topics.items().len();
    if count > 1 {
        let message =
            format!("`neighbours` tell of other keys (pipeline scope): {count} topics are {count} partitions at least");
        let hint = "read one topic of one partition, or remove `neighbours` from `features`";
        check.push(topics.problem(message, hint));
    }
}
