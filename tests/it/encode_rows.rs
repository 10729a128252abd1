//! Forecasts, scores, late rows and dead letters: they conform to their schemas and say what they must.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arterial::runtime::dry_run;
use arterial::spec::load_plan;
use arterial::stages::encode::{
    DeadLetter, DeadLetterOrigin, ForecastHead, ForecastRow, dead_letter_headers, encode_forecast, encode_scores,
};
use arterial::stages::predict::{ErrorSums, Maker, ScoreRow};
use arterial::stages::rows::{Reason, RejectStage, Rejected};
use arterial_connectors::payload::{Header, RawRows};
use serde_json::{Value, json};

use crate::encode_support::{EIGHT, MINUTE, conforms, headers, parsed};

fn forecast(value: f64) -> Value {
    parsed(encoded(BTreeMap::from([("segment_id", "S7")]), value).1.as_bytes())
}

fn encoded(key: BTreeMap<&str, &str>, value: f64) -> (String, String) {
    let (mut bytes, mut text) = (Vec::new(), String::new());
    let row = ForecastRow {
        key,
        value,
        persistence: value,
        profile: value,
        interval: Some((value, value)),
        explanation: None,
    };
    let maker = Maker { predictor: "speed", challenger: None, trained: Vec::new() };
    encode_forecast(&ForecastHead::new(&maker, EIGHT, 15 * MINUTE, 288), &row, &mut bytes, &mut text);
    (text, String::from_utf8(bytes).unwrap())
}

#[test]
fn keys_of_forecasts_differ_wherever_their_values_do() {
    let key = |a, b| encoded(BTreeMap::from([("a", a), ("b", b)]), 1.0).0;
    assert_eq!(key("S7", "in"), "S7/in");
    assert_eq!(key("S/7", "in"), "S%2F7/in");
    assert_ne!(key("S/7", "in"), key("S", "7/in"));
    assert_ne!(key("S/7", "in"), key("S%2F7", "in"));
    assert_eq!(key("/%S7", ""), "%2F%25S7/");
}

#[test]
fn forecast_conforms_and_says_what_it_speaks_of() {
    let value = forecast(61.5);
    conforms("forecast.v1", &value);
    let wanted = json!({
        "key": { "segment_id": "S7" }, "predictor": "speed", "horizon_s": 900.0, "window_end": "2026-11-23T08:00:00Z",
        "target_time": "2026-11-23T08:15:00Z", "value": 61.5, "persistence": 61.5, "profile": 61.5,
        "lower": 61.5, "upper": 61.5, "model_version": "speed@288", "explanation": null,
    });
    assert_eq!(value, wanted);
}

/// Sums over 4 forecasts.
fn score(model: &str, absolute: f64, squared: f64) -> ScoreRow {
    ScoreRow {
        predictor: "speed".to_owned(),
        model: model.to_owned(),
        horizon_micros: 15 * MINUTE,
        day: 20_780,
        sums: ErrorSums { count: 4, absolute, squared, persistence: 8.0, profile: 0.0, ..ErrorSums::default() },
    }
}

#[test]
fn scores_conform_and_compare_with_the_baselines() {
    let empty = ScoreRow { sums: ErrorSums::default(), ..score("unused", 0.0, 0.0) };
    let rows = [score("online_linear", 6.0, 16.0), score("persistence", 8.0, 36.0), score("profile", 0.0, 0.0), empty];
    let records = encode_scores("ring-road", 3, &rows);
    let keys: Vec<_> = records.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(
        keys,
        ["online_linear", "persistence", "profile"].map(|model| format!("speed/900/{model}/2026-11-23/3"))
    );
    for (_, value) in &records {
        conforms("score.v1", &parsed(value));
    }
    let wanted = json!({
        "pipeline": "ring-road", "predictor": "speed", "model": "online_linear", "horizon_s": 900.0,
        "day": "2026-11-23", "partition": 3, "count": 4, "mae": 1.5, "rmse": 2.0,
        // A baseline without errors leaves nothing to compare with.
        "skill_persistence": 0.25, "skill_profile": null, "interval_coverage": null, "interval_score": null,
        // Nor is it a classification.
        "log_loss": null, "accuracy": null, "precision": null, "recall": null, "f1": null, "auc": null,
        "calibration_error": null,
    });
    assert_eq!(parsed(&records[0].1), wanted);
    assert_eq!(parsed(&records[1].1)["skill_persistence"], Value::Null);
}

#[test]
fn numbers_that_json_cannot_hold_are_null_or_held_and_the_record_still_conforms() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let value = forecast(bad);
        conforms("forecast.v1", &value);
        assert_eq!([&value["value"], &value["persistence"], &value["profile"]], [&Value::Null; 3]);
    }
    let rows = [score("online_linear", f64::INFINITY, f64::INFINITY), score("profile", f64::INFINITY, 1.0)];
    for (_, value) in encode_scores("ring-road", 3, &rows) {
        conforms("score.v1", &parsed(&value));
    }
}

/// Arterial's own headers of a dead letter as a record of their schema.
fn dead_letter_record(headers: &[Header]) -> Value {
    let fields = headers.iter().filter_map(|(name, value)| {
        let text = String::from_utf8(value.clone().unwrap()).unwrap();
        let name = name.strip_prefix("arterial.dlq.")?;
        // Numbers are written in digits.
        let number = matches!(name, "partition" | "offset").then(|| json!(text.parse::<i64>().unwrap()));
        Some((name.to_owned(), number.unwrap_or(json!(text))))
    });
    Value::Object(fields.collect())
}

#[test]
fn dead_letter_keeps_its_own_headers_first_and_says_why_twice() {
    let original = [Some(vec![0xff, 0x00]), Some(Vec::new()), None].map(|value| ("trace".to_owned(), value));
    let origin =
        DeadLetterOrigin { pipeline: "ring-road", version: "ab12", topic: "obs", partition: 3, offset: i64::MAX };
    let detail = "expected a number at byte 12, found `\u{1f6a6}\\u{1}\"`".to_owned();
    let rejected =
        Rejected { origin: 0, stage: RejectStage::Decode, reason: Reason::WrongType, detail: detail.clone() };
    let written = dead_letter_headers(&original, &origin, &rejected);
    assert_eq!(written[..3], original);
    let read = DeadLetter::read(&written).expect("a dead letter");
    assert_eq!(read.original, &written[..3], "its own headers");
    assert_eq!((read.topic, read.partition, read.offset, read.replays), ("obs", 3, i64::MAX, 0));
    assert_eq!((read.pipeline, read.version), ("ring-road", "ab12"));
    assert_eq!((read.stage, read.detail), (rejected.stage.name(), rejected.detail.as_str()));
    let back = read.headers_to_replay();
    assert_eq!(back[..3], written[..3]);
    let died_again = dead_letter_headers(&back, &origin, &rejected);
    assert_eq!(DeadLetter::read(&died_again).expect("a dead letter").replays, 1);
    assert_eq!(DeadLetter::read(&written[..written.len() - 1]), None);
    assert_eq!(DeadLetter::read(&[]), None);
    let record = dead_letter_record(&written[3..]);
    conforms("dead-letter.v1", &record);
    let wanted = json!({
        "topic": "obs", "partition": 3, "offset": i64::MAX, "stage": "decode", "reason": "wrong_type",
        "detail": detail, "pipeline": "ring-road", "version": "ab12",
    });
    assert_eq!(record, wanted);
    // The names that Kafka Connect's tools look for.
    let connect = headers(&written[3..]);
    let of = |name: &str| connect[&format!("__connect.errors.{name}")].clone();
    assert_eq!(
        [of("topic"), of("partition"), of("offset"), of("stage")],
        ["obs", "3", "9223372036854775807", "decode"]
    );
    assert_eq!([of("exception.class.name"), of("exception.message")], ["wrong_type", &detail]);
}

#[test]
fn every_record_of_a_run_conforms_to_the_schema_of_its_topic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/city-job.yaml");
    let plan = Arc::new(load_plan(&path, &BTreeMap::new()).unwrap());
    let mut rows = RawRows::default();
    let late = r#"{"sensor_id":"L \"1\"/é","observed_at":"2026-11-23T06:00:00Z","speed_kmh":50.0,"flow_veh_h":null,"occupancy":null}"#;
    for minute in 0..90 {
        // A jam in the second half hour.
        let speed = if (30..60).contains(&minute) { 20.0 } else { 90.0 };
        let at = EIGHT.plus(minute * MINUTE);
        let message =
            format!(r#"{{"sensor_id":"L \"1\"/é","observed_at":"{at}","speed_kmh":{speed},"flow_veh_h":600}}"#);
        rows.push(minute, None, None, Some(message.as_bytes()));
    }
    rows.push(90, None, None, Some(late.as_bytes()));
    rows.push(91, None, None, Some(b"{\"sensor_id\":NaN}"));
    let run = dry_run(&plan, rows, RawRows::default()).unwrap();
    assert!(run.forecasts.len() > 10, "{}", run.forecasts.len());
    run.forecasts.iter().for_each(|row| conforms("forecast.v1", &Value::Object(row.clone())));
    run.alerts.iter().for_each(|row| conforms("alert.v1", &Value::Object(row.clone())));
    let states: Vec<_> = run.alerts.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["opened", "cleared"]);
    assert_eq!(run.alerts[0]["alert_key"], "congestion/L \"1\"%2Fé");
    assert_eq!(run.alerts[0]["episode_id"], run.alerts[1]["episode_id"]);
    // Late rows go out as they came.
    assert_eq!(run.late.iter().map(|row| json!(row)).collect::<Vec<_>>(), [parsed(late.as_bytes())]);
    conforms("traffic-observation.v1", &json!(run.late[0]));
    let headers: Vec<_> = run.dead_letter[0]
        .iter()
        .map(|(name, value)| (format!("arterial.dlq.{name}"), Some(value.as_str().unwrap().as_bytes().to_vec())))
        .collect();
    let record = dead_letter_record(&headers);
    conforms("dead-letter.v1", &record);
    assert_eq!((run.dead_letter.len(), &record["reason"], &record["offset"]), (1, &json!("not_finite"), &json!(91)));
}
