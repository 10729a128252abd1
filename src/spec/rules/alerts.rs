//! `alerts:` rules: one thing to watch, comparisons that can be read, hysteresis that can end.

use super::Check;
use crate::spec::model::{KeysSpec, Span};
use crate::spec::part::Part;
use crate::stages::alert::Comparison;

const COMPARISON_HINT: &str = "write an operator and a number: `\"< 0.45\"`; operators: <, <=, >, >=";
/// Keys that speak of a measure and its limit.
const SILENT_WITHOUT: [&str; 8] =
    ["measure", "rate_per", "mean_over", "custom", "when", "clear", "severity_clear", "expire_after"];

pub(super) fn check(check: &mut Check<'_>) {
    for (name, alert) in check.file.get("alerts").entries() {
        check_watched(check, name, &alert);
        let when = read_comparison(check, &alert.get("when"));
        let clear = read_comparison(check, &alert.get("clear"));
        if let (Some(when), Some(clear)) = (when, clear) {
            check_clear(check, &alert.get("clear"), when, clear);
        }
        for (_, condition) in alert.get("severity").entries() {
            let severity = read_comparison(check, &condition);
            if let (Some(when), Some(severity)) = (when, severity)
                && severity.downward() != when.downward()
            {
                check.push(
                    condition.problem("the severity compares the other way than `when`", "use the operator of `when`"),
                );
            }
        }
        check_severity_clear(check, when, &alert.get("severity_clear"));
        check_key(check, &alert.get("key"));
    }
}

/// A rule watches a measure, silence, or what a custom rule measures; each has keys that mean nothing beside it.
fn check_watched(check: &mut Check<'_>, name: &str, alert: &Part<'_>) {
    let silent_after = alert.get("silent_after");
    if silent_after.given() {
        refuse_beside(check, alert, "silent_after", &SILENT_WITHOUT);
        check_silent_after(check, &silent_after);
        return;
    }
    let custom = alert.get("custom").given();
    if custom {
        refuse_beside(check, alert, "custom", &["measure", "rate_per", "mean_over"]);
    }
    if alert.get("rate_per").given() {
        refuse_beside(check, alert, "rate_per", &["mean_over"]);
    }
    if !custom && !alert.get("measure").given() {
        let message = format!("alert `{name}` watches nothing");
        let hint = "add `measure` and `when`, or `silent_after: 15m` for keys without readings";
        check.push(alert.key_problem(message, hint));
    } else if !alert.get("when").given() {
        let message = format!("alert `{name}` has no `when`: it would never open");
        check.push(alert.key_problem(message, COMPARISON_HINT));
    }
}

fn refuse_beside(check: &mut Check<'_>, alert: &Part<'_>, kind: &str, keys: &[&str]) {
    for (key, other) in keys.iter().map(|key| (key, alert.get(key))).filter(|(_, other)| other.given()) {
        let message = format!("`{key}` means nothing beside `{kind}`");
        check.push(other.key_problem(message, format!("remove it, or make it a rule with `{key}` of its own")));
    }
}

/// A key that is forgotten earlier can never be silent for so long.
fn check_silent_after(check: &mut Check<'_>, silent_after: &Part<'_>) {
    let keys: Option<KeysSpec> = check.file.get("keys").read_or_default();
    let (Some(after), Some(keys)) = (silent_after.read::<Span>(), keys) else { return };
    if after.micros >= keys.expire_after.micros {
        let message = format!("a key is forgotten after {} without readings, before it is silent", keys.expire_after);
        check.push(silent_after.problem(message, "use a shorter time, or a longer `keys.expire_after`"));
    }
}

fn read_comparison(check: &mut Check<'_>, part: &Part<'_>) -> Option<Comparison> {
    let text = part.text()?;
    let comparison = Comparison::parse(text).ok();
    if comparison.is_none() {
        check.push(part.problem(format!("`{text}` is not a comparison"), COMPARISON_HINT));
    }
    comparison
}

/// An alert must be able to clear, and not by the value that opens it.
fn check_clear(check: &mut Check<'_>, part: &Part<'_>, when: Comparison, clear: Comparison) {
    let (limit, clear_limit) = (when.limit(), clear.limit());
    let (operator, side, beyond) =
        if when.downward() { (">", "above", clear_limit >= limit) } else { ("<", "below", clear_limit <= limit) };
    if clear.downward() == when.downward() {
        let message = "`clear` compares the same way as `when`: the alert would clear while it holds";
        check.push(part.problem(message, format!("use `{operator}` with a number at or {side} {limit}")));
    } else if !beyond {
        let message = format!("`clear` {clear_limit} lies on the alarming side of `when` {limit}");
        check.push(part.problem(message, format!("use a number at or {side} {limit}")));
    }
}

/// A severity falls towards the side that is no alarm.
fn check_severity_clear(check: &mut Check<'_>, when: Option<Comparison>, part: &Part<'_>) {
    for (_, condition) in part.entries() {
        let clear = read_comparison(check, &condition);
        if let (Some(when), Some(clear)) = (when, clear)
            && clear.downward() == when.downward()
        {
            let message = "`severity_clear` compares the same way as `when`: the severity would fall as it gets worse";
            check.push(condition.problem(message, "use the operator of `clear`"));
        }
    }
}

fn check_key(check: &mut Check<'_>, key: &Part<'_>) {
    let window_key = check.file.get("window").get("key");
    let (mut given, mut needed) = (names(key), names(&window_key));
    given.sort_unstable();
    needed.sort_unstable();
    if !given.is_empty() && !needed.is_empty() && given != needed {
        let message = format!("the alert's key [{}] is not the window's", names(key).join(", "));
        let hint = format!("write [{}], or leave `key` out", names(&window_key).join(", "));
        check.push(key.problem(message, hint));
    }
}

fn names<'a>(part: &Part<'a>) -> Vec<&'a str> {
    part.texts().into_iter().map(|(name, _)| name).collect()
}
