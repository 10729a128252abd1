//! Forecasts that say why they are what they are, where the predictor is asked to, and only there.

use serde_json::Value;

use crate::encode_support::conforms;
use crate::run_support::{Ends, edited, plan, run};

/// The corridor's forecasts as they leave.
fn forecasts(explain: &str) -> Vec<Value> {
    let text = edited(&[
        ("    min_history: 1h\n", &format!("    min_history: 1h\n{explain}")),
        (
            "  alerts: { from: alerts, memory: {} }\n",
            "  alerts: { from: alerts, memory: {} }\n  forecasts: { from: forecasts, memory: {} }\n",
        ),
    ]);
    let ends = Ends::with_sinks(4, &["alerts", "forecasts", "control"]);
    run(plan(&text), &ends).result.unwrap();
    let records = ends.broker.committed_records("forecasts").unwrap();
    records.iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
}

#[test]
fn every_forecast_is_the_sum_of_its_shares_where_the_predictor_is_to_explain() {
    let explained = forecasts("    explain: true\n");
    assert!(explained.len() > 100);
    for value in &explained {
        conforms("forecast.v1", value);
        let [why] = value["explanation"].as_array().unwrap().as_slice() else { panic!("{value:#}") };
        assert_eq!((&why["predictor"], &why["horizon_s"]), (&"speed".into(), &900.0.into()));
        let shares = why["contributions"].as_array().unwrap();
        let features: Vec<&str> = shares.iter().map(|one| one["feature"].as_str().unwrap()).collect();
        assert!(["speed_kmh.lag0", "speed_kmh.lag1", "speed_kmh.lag2"].iter().all(|lag| features.contains(lag)));
        let sum: f64 = shares.iter().map(|one| one["share"].as_f64().unwrap()).sum();
        let forecast = why["baseline"].as_f64().unwrap() + sum;
        assert!((forecast - value["value"].as_f64().unwrap()).abs() < 1e-9, "{value:#}");
    }
    let silent = forecasts("");
    assert_eq!(silent.len(), explained.len());
    for (silent, explained) in silent.iter().zip(&explained) {
        conforms("forecast.v1", silent);
        assert_eq!((&silent["explanation"], &silent["value"]), (&Value::Null, &explained["value"]));
    }
}
