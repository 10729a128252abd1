//! Alert records: they conform to their schema, their ids follow from what they name, and whatever stands in them
//! survives JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arterial::stages::alert::{AlertChange, AlertState, Severity};
use arterial::stages::encode::{AlertContext, EncodeFormat, Encoded, ForecastRead, encode_alert};
use arterial::stages::predict::{Contribution, Explanation, Maker};
use arterial::vocab::EventTime;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::encode_support::{EIGHT, MINUTE, avsc, check, conforms, headers, parsed};

const SPEED: Maker<'_> = Maker { predictor: "speed", challenger: None, trained: Vec::new() };

/// An alert that was updated 5 minutes after it opened.
fn change() -> AlertChange {
    AlertChange {
        rule: 0,
        key: 0,
        state: AlertState::Updated,
        severity: Some(Severity::Severe),
        at: EIGHT,
        opened_at: EIGHT.plus(-5 * MINUTE),
        seq: 1,
        value: Some(0.1875),
        threshold: 0.2,
    }
}

fn context() -> AlertContext<'static> {
    AlertContext {
        pipeline: "ring-road",
        rule: "congestion",
        key: BTreeMap::from([("segment_id", "S7")]),
        forecasts: vec![forecast(explanation())],
        expire_after: 30 * MINUTE,
        inputs_quality: Some(1.0),
        unit: Some("1"),
        threshold_source: Some("the city's traffic office"),
        summary: "Slow traffic expected on S7: 0.19 of free flow".to_owned(),
    }
}

fn forecast(explanation: Explanation) -> ForecastRead<'static> {
    ForecastRead { maker: SPEED, horizon: 15 * MINUTE, explanation: Some(explanation) }
}

fn explanation() -> Explanation {
    let one = |feature: &str, value, share| Contribution { feature: feature.to_owned(), value, share };
    let contributions =
        vec![one("speed.lag0", 22.5, -40.5), one("holiday", f64::NAN, 0.0), one("speed.lag1", 35.0, -41.0)];
    Explanation { end: EIGHT, made_by: 0, version: 288, forecast: 18.75, baseline: 100.25, contributions }
}

fn encoded(change: &AlertChange, context: &AlertContext<'_>) -> Encoded {
    encode_alert(change, context, EncodeFormat::Cloudevents)
}

/// The record as text: key, headers, value. `ARTERIAL_BLESS=1` writes the golden file anew.
fn assert_golden(name: &str, record: &Encoded) {
    let mut text = format!("key: {}\n", String::from_utf8_lossy(&record.key));
    for (name, value) in &record.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_deref().unwrap())));
    }
    text.push_str(&format!("\n{}\n", String::from_utf8_lossy(&record.value)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encode").join(name);
    if std::env::var_os("ARTERIAL_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name} differs; if that is right, set ARTERIAL_BLESS=1");
}

#[test]
fn alert_is_written_in_each_format_as_in_its_golden_file() {
    assert_golden("alert-json.txt", &encode_alert(&change(), &context(), EncodeFormat::Json));
    assert_golden("alert-cloudevents.txt", &encode_alert(&change(), &context(), EncodeFormat::Cloudevents));
}

#[test]
fn checker_finds_every_way_in_which_an_alert_can_miss_its_schema() {
    let good = parsed(&encoded(&change(), &context()).value);
    conforms("alert.v1", &good);
    let spoilt = [
        ("/seq", json!(-1), ".seq: -1 is below 0"),
        ("/seq", json!(1.5), ".seq: 1.5 is not long"),
        ("/seq", json!("1"), r#".seq: "1" is not long"#),
        ("/state", json!("open"), r#".state: "open" is not ["opened","updated","cleared","expired","retracted"]"#),
        ("/severity", json!("bad"), r#".severity: "bad" is not null, and .severity: "bad" is not ["minor","#),
        ("/threshold", Value::Null, ".threshold: null is not double"),
        ("/value", json!("NaN"), r#".value: "NaN" is not null, and .value: "NaN" is not double"#),
        ("/key", json!(["S7"]), r#".key: ["S7"] is not a map"#),
        ("/key/segment_id", json!(7), ".key.segment_id: 7 is not string"),
        ("/observed_at", json!(1_795_420_800_000_000_i64), ".observed_at: 1795420800000000 is not a time in UTC"),
        ("/observed_at", json!(""), r#".observed_at: "" is not a time in UTC"#),
        (
            "/valid_from",
            json!("2026-11-23T08:00:00+01:00"),
            r#".valid_from: "2026-11-23T08:00:00+01:00" is not a time"#,
        ),
        ("/inputs_quality", json!(1.5), ".inputs_quality: 1.5 is above 1"),
        ("/explanation", Value::Null, ".explanation: null is not an array"),
        ("/explanation/0", json!([]), ".explanation[0]: [] is not a record"),
        ("/explanation/0/contributions", json!({}), ".explanation[0].contributions: {} is not an array"),
        ("/explanation/0/contributions/1/share", Value::Null, "[0].contributions[1].share: null is not double"),
    ];
    for (place, value, problem) in spoilt {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        let found = check(&avsc("alert.v1"), &bad).expect_err(place);
        assert!(found.contains(problem), "{place}: {found}");
    }
    for field in good.as_object().unwrap().keys() {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(field);
        assert_eq!(check(&avsc("alert.v1"), &bad), Err(format!(".{field}: absent")));
    }
    let mut bad = good;
    bad["colour"] = json!("red");
    assert_eq!(check(&avsc("alert.v1"), &bad), Err(".colour: not in the schema".to_owned()));
}

#[test]
fn alert_of_every_state_and_severity_conforms_and_only_a_lasting_one_says_when_it_lapses() {
    let severities =
        [None, Some(Severity::Minor), Some(Severity::Moderate), Some(Severity::Severe), Some(Severity::Extreme)];
    for state in [AlertState::Opened, AlertState::Updated, AlertState::Cleared, AlertState::Expired] {
        for severity in severities {
            let change = AlertChange { state, severity, ..change() };
            let record = encoded(&change, &context());
            let value = parsed(&record.value);
            conforms("alert.v1", &value);
            assert_eq!(value["state"], state.name());
            let lasting = matches!(state, AlertState::Opened | AlertState::Updated);
            assert_eq!(value["expires_at"], if lasting { json!("2026-11-23T08:45:00Z") } else { Value::Null });
            assert_eq!(headers(&record.headers)["ce_type"], format!("arterial.alert.{}", state.name()));
        }
    }
}

#[test]
fn alert_on_a_measured_value_is_observed_now_and_needs_no_explanation() {
    let measured = AlertContext { forecasts: Vec::new(), inputs_quality: None, ..context() };
    let value = parsed(&encoded(&AlertChange { value: None, ..change() }, &measured).value);
    conforms("alert.v1", &value);
    assert_eq!((&value["certainty"], &value["valid_from"]), (&json!("observed"), &json!("2026-11-23T08:00:00Z")));
    assert_eq!([&value["model_version"], &value["value"]], [&Value::Null; 2]);
    assert_eq!(value["explanation"], json!([]));
    let forecast = parsed(&encoded(&change(), &context()).value);
    assert_eq!((&forecast["certainty"], &forecast["valid_from"]), (&json!("likely"), &json!("2026-11-23T08:15:00Z")));
    assert_eq!(forecast["model_version"], "speed@288");
}

#[test]
fn alert_on_forecasts_is_likely_from_the_nearest_horizon_on_also_where_there_is_no_forecast_left() {
    let read = |horizon, explanation| ForecastRead { maker: SPEED, horizon: horizon * MINUTE, explanation };
    let version = |version| Some(Explanation { version, ..explanation() });
    let several = vec![read(60, version(7)), read(30, None), read(45, version(5))];
    let value = parsed(&encoded(&change(), &AlertContext { forecasts: several, ..context() }).value);
    conforms("alert.v1", &value);
    assert_eq!((&value["certainty"], &value["valid_from"]), (&json!("likely"), &json!("2026-11-23T08:30:00Z")));
    assert_eq!(value["expires_at"], "2026-11-23T09:00:00Z");
    assert_eq!(value["model_version"], "speed@7, speed@5");
    let explained: Vec<_> = value["explanation"].as_array().unwrap().iter().map(|one| &one["horizon_s"]).collect();
    assert_eq!(explained, [&json!(3600.0), &json!(2700.0)]);
    // The measure went null: the change is about a forecast all the same.
    let expired = AlertChange { state: AlertState::Expired, value: None, ..change() };
    let value = parsed(&encoded(&expired, &AlertContext { forecasts: vec![read(15, None)], ..context() }).value);
    conforms("alert.v1", &value);
    assert_eq!((&value["certainty"], &value["valid_from"]), (&json!("likely"), &json!("2026-11-23T08:15:00Z")));
    assert_eq!((&value["model_version"], &value["explanation"]), (&Value::Null, &json!([])));
}

#[test]
fn explanation_names_the_largest_shares_first_whatever_their_sign() {
    let value = parsed(&encoded(&change(), &context()).value);
    let order: Vec<_> =
        value["explanation"][0]["contributions"].as_array().unwrap().iter().map(|one| &one["feature"]).collect();
    assert_eq!(order, ["speed.lag1", "speed.lag0", "holiday"]);
    assert_eq!(value["explanation"][0]["contributions"][2]["value"], Value::Null);
}

#[test]
fn numbers_that_json_cannot_hold_are_null_or_left_out_and_the_record_still_conforms() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let change = AlertChange { value: Some(bad), ..change() };
        let mut runaway = explanation();
        runaway.contributions[0].share = bad;
        let forecasts = vec![forecast(runaway)];
        let record = encoded(&change, &AlertContext { forecasts, inputs_quality: Some(bad), ..context() });
        let value = parsed(&record.value);
        conforms("alert.v1", &value);
        assert_eq!([&value["value"], &value["inputs_quality"]], [&Value::Null; 2]);
        assert_eq!(value["explanation"], json!([]));
    }
}

#[test]
fn cloud_event_has_the_attributes_that_its_standard_requires() {
    let record = encoded(&change(), &context());
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "{names:?}");
    let headers = headers(&record.headers);
    let of = |name: &str| headers.get(name).unwrap_or_else(|| panic!("no {name}")).as_str();
    assert_eq!((of("ce_specversion"), of("content-type")), ("1.0", "application/json"));
    assert_eq!((of("ce_source"), of("ce_type")), ("/arterial/ring-road", "arterial.alert.updated"));
    assert_eq!((of("ce_subject"), of("ce_time")), ("congestion/S7", "2026-11-23T08:00:00Z"));
    assert!(of("ce_id").len() == 32 && of("ce_id").bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", of("ce_id"));
    // The value is the same in every format.
    let json = encode_alert(&change(), &context(), EncodeFormat::Json);
    assert_eq!((json.key, json.value), (record.key, record.value));
    assert_eq!(json.headers, [("content-type".to_owned(), Some(b"application/json".to_vec()))]);
}

/// `ce_id` and `episode_id`.
fn ids(change: &AlertChange, context: &AlertContext<'_>) -> (String, String) {
    let record = encoded(change, context);
    let episode = parsed(&record.value)["episode_id"].as_str().unwrap().to_owned();
    (headers(&record.headers)["ce_id"].clone(), episode)
}

#[test]
fn ids_follow_from_what_they_name_and_from_nothing_else() {
    let (id, episode) = ids(&change(), &context());
    assert_eq!(ids(&change(), &context()), (id.clone(), episode.clone()));
    // What a second run may come to see otherwise does not name the event.
    let rounded = AlertChange { value: Some(0.1), threshold: 0.3, severity: None, ..change() };
    let reworded = AlertContext { summary: String::new(), forecasts: Vec::new(), inputs_quality: None, ..context() };
    assert_eq!(ids(&rounded, &reworded), (id.clone(), episode.clone()));
    // Another change of the same episode: another event, the same episode.
    let next = ids(&AlertChange { seq: 2, ..change() }, &context());
    assert_ne!(next.0, id);
    assert_eq!(next.1, episode);
    let key = |key: &[(&'static str, &'static str)]| AlertContext { key: key.iter().copied().collect(), ..context() };
    let others = [
        ids(&AlertChange { opened_at: EIGHT.plus(-6 * MINUTE), ..change() }, &context()),
        ids(&change(), &AlertContext { pipeline: "other", ..context() }),
        ids(&change(), &AlertContext { rule: "other", ..context() }),
        ids(&change(), &key(&[("segment_id", "S8")])),
        ids(&change(), &key(&[("a", "x"), ("b", "y")])),
        ids(&change(), &key(&[("a", "x/y")])),
        ids(&change(), &key(&[("a", "x%2Fy")])),
        ids(&change(), &key(&[("a", ""), ("b", "x"), ("c", "y")])),
    ];
    let mut events = BTreeSet::from([id, next.0]);
    let mut episodes = BTreeSet::from([episode]);
    for (id, episode) in others {
        assert!(events.insert(id), "an id came twice");
        assert!(episodes.insert(episode), "an episode came twice");
    }
}

#[test]
fn slash_inside_a_key_value_is_not_taken_for_the_one_between_two() {
    let key = |first, second| {
        let key = BTreeMap::from([("a", first), ("b", second)]);
        String::from_utf8(encoded(&change(), &AlertContext { key, ..context() }).key).unwrap()
    };
    assert_eq!(key("x/y", "z"), "congestion/x%2Fy/z");
    assert_eq!(key("x", "y/z"), "congestion/x/y%2Fz");
    assert_eq!(key("50%", "Nørrebro å"), "congestion/50%25/Nørrebro å");
}

proptest! {
    #[test]
    fn any_text_survives_json_and_any_alert_conforms(
        texts in prop::array::uniform4(any::<String>()),
        values in prop::array::uniform4(prop::num::f64::ANY),
        times in prop::array::uniform2(any::<i64>()),
        horizon in 0..=i64::MAX,
        seq: u32,
    ) {
        let [summary, first, second, feature] = texts;
        let summary = format!("{summary}\"\\\u{0}\u{1f}\u{2028}NaN");
        let (at, opened_at) = (EventTime(times[0]), EventTime(times[1]));
        let change = AlertChange { value: Some(values[0]), at, opened_at, seq, ..change() };
        let contributions = vec![Contribution { feature: feature.clone(), value: values[1], share: values[2] }];
        let explained = Explanation { baseline: values[3], contributions, ..explanation() };
        let context = AlertContext {
            key: BTreeMap::from([("a", first.as_str()), ("b", second.as_str())]),
            forecasts: vec![ForecastRead { horizon, ..forecast(explained) }],
            summary: summary.clone(),
            ..context()
        };
        let record = encoded(&change, &context);
        let value = parsed(&record.value);
        prop_assert_eq!(check(&avsc("alert.v1"), &value), Ok(()));
        prop_assert_eq!(&value["summary"], &json!(summary));
        prop_assert_eq!(&value["key"], &json!({ "a": first, "b": second }));
        let explained = value["explanation"].as_array().unwrap();
        prop_assert_eq!(explained.len(), usize::from(values[2].is_finite() && values[3].is_finite()));
        if let Some(contribution) = value.pointer("/explanation/0/contributions/0") {
            prop_assert_eq!(&contribution["feature"], &json!(feature));
        }
        prop_assert_eq!(value["alert_key"].as_str().unwrap().as_bytes(), &record.key);
        prop_assert_eq!(record.key.iter().filter(|byte| **byte == b'/').count(), 2);
    }
}
