//! Time zones and points in time.

use super::Check;
use super::predict::models;
use crate::spec::part::Part;
use crate::spec::syntax;
use crate::stages::decode::{TextTimeFormat, TimestampFormat};

pub(super) fn check(check: &mut Check<'_>) {
    let mut zones: Vec<Part<'_>> = Vec::new();
    let mut times: Vec<Part<'_>> = Vec::new();
    if let Some(source) = check.source() {
        check_format(check, &source.get("decode"));
        zones.push(source.get("decode").get("timezone"));
        times.push(source.get("simulate").get("start"));
        times.push(source.get("event_time").get("latest"));
    }
    for feature in check.file.get("features").items() {
        zones.extend(feature.variant().map(|(_, settings)| settings.get("timezone")));
    }
    for (_, predictor) in check.file.get("predict").entries() {
        zones.extend(["baselines", "intervals", "drift"].map(|key| predictor.get(key).get("timezone")));
        zones.extend(models(&predictor).iter().map(|model| model.get("mlp").get("timezone")));
        times.push(predictor.get("score_from"));
    }
    for zone in zones {
        refuse_unknown_zone(check, &zone);
    }
    for time in times {
        if let Some(text) = time.text().filter(|text| !syntax::is_time(text)) {
            check.push(time.problem(format!("`{text}` is not a time"), super::sources::TIME_HINT));
        }
    }
}

/// A format reads times by itself or with the zone that is declared.
fn check_format(check: &mut Check<'_>, decode: &Part<'_>) {
    let (format, timestamp) = (decode.get("timestamp_format"), decode.get("timestamp"));
    let Some(text) = format.text() else { return };
    match TextTimeFormat::new(text) {
        Err(error) => check.push(format.problem(error.to_string(), error.hint())),
        Ok(read) if !read.says_offset() && !decode.get("timezone").given() => {
            let hint = "add `timezone`, where the sensors are, as `Europe/Copenhagen`; or `%z`, where the times say it";
            check.push(
                format.problem(format!("times written as `{text}` have no offset, and `timezone` is not given"), hint),
            );
        }
        Ok(_) => {}
    }
    if timestamp.given() && timestamp.read::<TimestampFormat>().is_some_and(|one| one != TimestampFormat::Rfc3339) {
        let hint = "leave out one of them: numbers since 1970 are no text";
        check.push(timestamp.problem("`timestamp` and `timestamp_format` disagree", hint));
    }
}

fn refuse_unknown_zone(check: &mut Check<'_>, zone: &Part<'_>) {
    let Some((text, hint)) = zone.text().and_then(|text| Some((text, syntax::zone(text).err()?))) else { return };
    check.push(zone.problem(format!("`{text}` is not a time zone"), hint));
}
