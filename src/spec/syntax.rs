//! The small languages inside single values: names, topics, times, zones, addresses. What to say about a text that is
//! none is the rules' matter; comparisons, aggregates and column names are read by the stages that use them.

use std::net::SocketAddr;

use chrono_tz::Tz;

use crate::stages::expression::closest;

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

/// An IANA time zone.
///
/// # Errors
/// What may have been meant.
pub(crate) fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| zone_hint(text))
}

/// What people write for a zone, and zones that are meant by it: abbreviations are of one half of the year, and of several
/// countries.
const ABBREVIATIONS: [(&str, &str, &str); 13] = [
    ("PST", "PDT", "America/Los_Angeles"),
    ("MST", "MDT", "America/Denver"),
    ("CST", "CDT", "America/Chicago"),
    ("EST", "EDT", "America/New_York"),
    ("CET", "CEST", "Europe/Berlin"),
    ("MEZ", "MESZ", "Europe/Berlin"),
    ("GMT", "BST", "Europe/London"),
    ("WET", "WEST", "Europe/Lisbon"),
    ("EET", "EEST", "Europe/Helsinki"),
    ("MSK", "MSD", "Europe/Moscow"),
    ("JST", "JDT", "Asia/Tokyo"),
    ("AEST", "AEDT", "Australia/Sydney"),
    ("NZST", "NZDT", "Pacific/Auckland"),
];

/// Zones are known by their cities: a city that is none is not to be taken for one whose continent fits.
fn zone_hint(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if let Some((.., zone)) =
        ABBREVIATIONS.iter().find(|(winter, summer, _)| [*winter, *summer].contains(&upper.as_str()))
    {
        return format!("name the zone by its largest city, which knows summer and winter: as `{zone}`");
    }
    let offset = ["UTC", "GMT", ""].iter().filter_map(|before| upper.strip_prefix(before));
    if let Some(sign) = offset.filter_map(|rest| rest.chars().next()).find(|sign| ['+', '-'].contains(sign)) {
        // Names of `Etc` count the other way round, as POSIX does.
        let other = if sign == '+' { '-' } else { '+' };
        return format!(
            "name the zone by its largest city, as `Europe/Copenhagen`; clocks that never change, one hour from UTC at `{sign}1`, \
             are `Etc/GMT{other}1`: its sign is the other one"
        );
    }
    let split = |zone: &'static str| zone.rsplit_once('/').unwrap_or(("", zone));
    let (area, city) = text.rsplit_once('/').unwrap_or(("", text));
    let known = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let area_known = known().any(|zone| split(zone).0 == area) && !area.is_empty();
    // A short word without an area is an abbreviation, and no city.
    let of_area = area_known || (area.is_empty() && city.len() <= 4);
    let candidates = || known().filter(|zone| !of_area || split(zone).0 == area);
    let meant = closest(city, candidates().map(|zone| split(zone).1));
    match candidates().find(|zone| Some(split(zone).1) == meant) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "write an IANA name, as `Europe/Copenhagen` or `UTC`; a zone bears the name of one large city in it"
            .to_owned(),
    }
}

/// Whether a text is `address:port`.
pub(super) fn is_listen_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}
