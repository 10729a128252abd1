//! `alerts:` rules: comparisons that can be read, hysteresis that can end.

use super::Check;
use crate::spec::part::Part;
use crate::spec::syntax::{self, Comparison, Direction};

const COMPARISON_HINT: &str = "write an operator and a number: `\"< 0.45\"`; operators: <, <=, >, >=";

pub(super) fn check(check: &mut Check<'_>) {
    for (_, alert) in check.file.get("alerts").entries() {
        let when = read_comparison(check, &alert.get("when"));
        let clear = read_comparison(check, &alert.get("clear"));
        if let (Some(when), Some(clear)) = (when, clear) {
            check_clear(check, &alert.get("clear"), when, clear);
        }
        for (_, condition) in alert.get("severity").entries() {
            let severity = read_comparison(check, &condition);
            if let (Some(when), Some(severity)) = (when, severity)
                && severity.direction != when.direction
            {
                check.push(
                    condition.problem("the severity compares the other way than `when`", "use the operator of `when`"),
                );
            }
        }
        check_key(check, &alert.get("key"));
    }
}

fn read_comparison(check: &mut Check<'_>, part: &Part<'_>) -> Option<Comparison> {
    let text = part.text()?;
    let comparison = syntax::comparison(text);
    if comparison.is_none() {
        check.push(part.problem(format!("`{text}` is not a comparison"), COMPARISON_HINT));
    }
    comparison
}

/// An alert must be able to clear, and not by the value that opens it.
fn check_clear(check: &mut Check<'_>, part: &Part<'_>, when: Comparison, clear: Comparison) {
    let (operator, side, beyond) = match when.direction {
        Direction::Below => (">", "above", clear.limit >= when.limit),
        Direction::Above => ("<", "below", clear.limit <= when.limit),
    };
    if clear.direction == when.direction {
        let message = "`clear` compares the same way as `when`: the alert would clear while it holds";
        check.push(part.problem(message, format!("use `{operator}` with a number at or {side} {}", when.limit)));
    } else if !beyond {
        let message = format!("`clear` {} lies on the alarming side of `when` {}", clear.limit, when.limit);
        check.push(part.problem(message, format!("use a number at or {side} {}", when.limit)));
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
