//! Lengths of time that must not be zero.

use super::Check;
use crate::spec::model::Span;
use crate::spec::part::Part;

pub(super) fn check(check: &mut Check<'_>) {
    let mut parts = vec![
        check.file.get("window").get("size"),
        check.file.get("window").get("every"),
        check.file.get("keys").get("expire_after"),
        check.file.get("runtime").get("commit_every"),
        check.file.get("runtime").get("commit_every_max"),
    ];
    if let Some(source) = check.source() {
        let event_time = source.get("event_time");
        parts.extend(["interval", "idle_after", "max_drift"].map(|key| event_time.get(key)));
        parts.push(source.get("file").get("csv").get("event_time").get("step"));
        parts.extend(["every", "length"].map(|key| source.get("simulate").get(key)));
    }
    parts.extend(check.file.get("clean").items().iter().map(|step| step.get("dedupe").get("within")));
    for step in check.file.get("features").items() {
        parts.extend([step.get("profile").get("slot"), step.get("lookup").get("max_age")]);
    }
    parts.extend(check.file.get("predict").entries().iter().map(|(_, one)| one.get("baselines").get("slot")));
    for (_, alert) in check.file.get("alerts").entries() {
        parts.extend(["expire_after", "rate_per", "mean_over", "silent_after"].map(|key| alert.get(key)));
    }
    for part in parts {
        refuse_zero(check, &part);
    }
}

fn refuse_zero(check: &mut Check<'_>, part: &Part<'_>) {
    if part.read::<Span>().is_some_and(|span| span.micros == 0) {
        check.push(part.problem(format!("`{}` must be longer than 0s", part.path), ""));
    }
}
