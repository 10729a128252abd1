//! The small languages inside single values: names, comparisons (`< 0.45`), aggregates (`avg(speed_kmh)`), times, zones,
//! addresses. Text in, value or `None` out; what to say about it is the rules' matter.

use std::net::SocketAddr;

/// Direction of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// `<`, `<=`.
    Below,
    /// `>`, `>=`.
    Above,
}

/// An operator and a finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    pub(super) direction: Direction,
    pub(super) limit: f64,
}

/// `< 0.45`, `<= 0.45`, `> 60`, `>= 60`.
pub(super) fn comparison(text: &str) -> Option<Comparison> {
    let text = text.trim();
    let (direction, rest) = match text.split_at_checked(1)? {
        ("<", rest) => (Direction::Below, rest),
        (">", rest) => (Direction::Above, rest),
        _ => return None,
    };
    let number = rest.strip_prefix('=').unwrap_or(rest).trim();
    // Rust also reads `inf` and `nan`, which no limit can be.
    let limit: f64 = number.parse().ok().filter(|limit: &f64| limit.is_finite())?;
    Some(Comparison { direction, limit })
}

/// What `window.columns` may compute.
pub(super) const AGGREGATES: [&str; 7] = ["count", "sum", "avg", "min", "max", "first", "last"];

/// `avg(speed_kmh)` as function and column; `*` only with `count`.
pub(super) fn aggregate(text: &str) -> Option<(&str, &str)> {
    let (function, rest) = text.trim().split_once('(')?;
    let (function, column) = (function.trim(), rest.strip_suffix(')')?.trim());
    let fits = if column == "*" { function == "count" } else { is_column(column) };
    (AGGREGATES.contains(&function) && fits).then_some((function, column))
}

/// Whether a text can name a column without quotes in SQL: letters, digits and underscores, no digit first.
pub(super) fn is_column(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Longest name of a pipeline, source, table, predictor, alert or sink: topic names made from it stay below Kafka's 249.
pub(super) const NAME_CHARS_MAX: usize = 100;

/// Whether a text is a name: lower-case letters, digits, `_` and `-`, a letter or digit first.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= NAME_CHARS_MAX
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'_' || byte == b'-')
}

/// Whether a text is a legal topic name, by Kafka's own rule.
pub(super) fn is_topic(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&text.len()) && text.bytes().all(legal) && text != "." && text != ".."
}

/// Whether a text is `host:port,host:port`.
pub(super) fn is_broker_list(text: &str) -> bool {
    text.split(',').map(str::trim).all(|broker| match broker.rsplit_once(':') {
        Some((host, port)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            let plain = !host.is_empty() && (bracketed || !host.contains(':')) && !host.contains(char::is_whitespace);
            plain && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => false,
    })
}

/// Whether a text is an RFC 3339 time with its offset.
pub(super) fn is_time(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// Whether a text is an IANA time zone.
pub(super) fn is_zone(text: &str) -> bool {
    text.parse::<chrono_tz::Tz>().is_ok()
}

/// Whether a text is `address:port`.
pub(super) fn is_listen_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}
