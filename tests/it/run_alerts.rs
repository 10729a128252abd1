//! What the alert records of a whole pipeline say about their own grounds: measured or forecast, from which inputs, why.

use arterial_connectors::simulate::SimulateConfig;
use serde_json::{Value, json};

use crate::encode_support::{conforms, parsed};
use crate::run_support::{Ends, edited, plan, run};

/// Alert records of a rule of the edited pipeline, over ten hours.
fn alerts(rule: &str, edits: &[(&str, &str)]) -> Vec<Value> {
    let ends = Ends::new(10);
    run(plan(&edited(edits)), &ends).result.unwrap();
    let records: Vec<Value> = ends.alerts().iter().map(|record| parsed(record.value.as_deref().unwrap())).collect();
    records.iter().for_each(|record| conforms("alert.v1", record));
    records.into_iter().filter(|record| record["rule"] == rule).collect()
}

#[test]
fn inputs_quality_is_the_share_of_what_the_measure_reads_that_was_measured() {
    // A speed beside a high flow is a sentinel. The summary says which windows had none at all.
    let edits = [
        ("clean:\n", "clean:\n  - null_if: { speed_kmh: \"flow_veh_h > 620\" }\n"),
        ("measure: flow_veh_h", "measure: \"flow_veh_h + coalesce(speed_kmh, 0) / 1000\""),
        ("busy at {sensor_id}", "{speed_kmh}"),
    ];
    let records = alerts("busy", &edits);
    let of = |record: &Value| if record["summary"] == "unknown" { json!(0.5) } else { json!(1.0) };
    for record in &records {
        assert_eq!(record["inputs_quality"], of(record), "{record}");
        assert_eq!((&record["certainty"], &record["explanation"]), (&json!("observed"), &json!([])));
    }
    for quality in [0.5, 1.0] {
        assert!(records.iter().any(|record| record["inputs_quality"] == quality), "none of {quality}");
    }
}

#[test]
fn alert_on_forecasts_explains_each_of_them_and_stays_one_when_they_end() {
    let silent_from = SimulateConfig::default().start_micros + 6 * 3_600_000_000;
    let silent_from = arterial::vocab::EventTime(silent_from).to_string();
    let silence = format!("clean:\n  - null_if: {{ speed_kmh: \"observed_at > '{silent_from}'\" }}\n");
    let edits = [
        ("clean:\n", silence.as_str()),
        ("fill: last", "fill: none"),
        ("horizons: [15m]", "horizons: [15m, 30m]"),
        (
            "measure: speed.15m, when: \"< 60\", clear: \"> 70\"",
            "measure: \"speed.30m + speed.15m\", when: \"> 0\", clear: \"< -100\", expire_after: 10m",
        ),
    ];
    let records = alerts("slow", &edits);
    let of = |state: &str| records.iter().filter(|record| record["state"] == state).collect::<Vec<_>>();
    let (opened, expired) = (of("opened"), of("expired"));
    assert!(opened.len() >= 16 && expired.len() >= 16, "{} opened, {} expired", opened.len(), expired.len());
    let minutes = |record: &Value| {
        let time = |name: &str| chrono::DateTime::parse_from_rfc3339(record[name].as_str().unwrap()).unwrap();
        (time("valid_from") - time("observed_at")).num_minutes()
    };
    for record in opened {
        assert_eq!((&record["certainty"], minutes(record)), (&json!("likely"), 15));
        assert_eq!(record["inputs_quality"], 1.0);
        assert_eq!(record["model_version"].as_str().unwrap().matches("speed@").count(), 2, "{record}");
        let explained = record["explanation"].as_array().unwrap();
        let horizons: Vec<_> = explained.iter().map(|one| (&one["predictor"], &one["horizon_s"])).collect();
        assert_eq!(horizons, [(&json!("speed"), &json!(900.0)), (&json!("speed"), &json!(1800.0))]);
        let number = |value: &Value| value.as_f64().unwrap();
        for one in explained {
            let shares: f64 = one["contributions"].as_array().unwrap().iter().map(|one| number(&one["share"])).sum();
            assert!((number(&one["forecast"]) - number(&one["baseline"]) - shares).abs() < 1e-9, "{one}");
        }
        let sum: f64 = explained.iter().map(|one| number(&one["forecast"])).sum();
        assert_eq!(number(&record["value"]), sum, "what is explained is what the measure read");
    }
    for record in expired {
        assert_eq!((&record["certainty"], minutes(record)), (&json!("likely"), 15), "{record}");
        assert_eq!((&record["inputs_quality"], &record["explanation"]), (&json!(0.0), &json!([])), "{record}");
    }
}
