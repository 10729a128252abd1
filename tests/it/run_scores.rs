//! Scores by day: on their topic also while the day is open, in the summary, and never counted twice.

use std::collections::BTreeMap;

use arterial::cli::summary_json;
use arterial_connectors::memory::{CommitFault, Faults};
use serde_json::Value;

use crate::run_support::{Ends, PIPELINE, edited, plan, run};

const SINKS: [&str; 3] = ["alerts", "scores", "control"];

fn scored() -> String {
    edited(&[(
        "  alerts: { from: alerts, memory: {} }",
        "  alerts: { from: alerts, memory: {} }\n  scores: { from: scores, memory: {} }",
    )])
}

/// Counts in the records of each key, in order.
fn counts(ends: &Ends) -> BTreeMap<String, Vec<u64>> {
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in ends.broker.committed_records("scores").unwrap() {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        counts.entry(key).or_default().push(value["count"].as_u64().unwrap());
    }
    counts
}

#[test]
fn open_day_is_told_at_the_end_of_a_run_and_replaced_by_the_next_one() {
    let mut ends = Ends::with_sinks(10, &SINKS);
    run(plan(&scored()), &ends).result.unwrap();
    let first = counts(&ends);
    // Two partitions, three models, one day.
    assert_eq!(first.len(), 6, "{first:?}");
    assert!(first.values().all(|told| told.len() == 1 && told[0] > 100), "{first:?}");
    ends.hours = 34;
    let summary = run(plan(&scored()), &ends).result.unwrap();
    let both = counts(&ends);
    assert_eq!(both.len(), 12, "the next day has keys of its own: {both:?}");
    for (key, told) in &first {
        assert_eq!(both[key].len(), 2, "{key}");
        assert!(both[key][0] == told[0] && both[key][1] > told[0], "{key}: {both:?}");
    }
    let of_model: u64 =
        both.iter().filter(|(key, _)| key.contains("/online_linear/")).map(|(_, told)| told.last().unwrap()).sum();
    let total = summary.scores.iter().find(|score| score.model == "online_linear").unwrap();
    assert_eq!(of_model, total.sums.count, "the newest record of each key adds up to the total");
}

#[test]
fn second_run_without_new_rows_tells_no_day_again() {
    let ends = Ends::with_sinks(10, &SINKS);
    run(plan(&scored()), &ends).result.unwrap();
    let first = counts(&ends);
    run(plan(&scored()), &ends).result.unwrap();
    assert_eq!(counts(&ends), first);
}

#[test]
fn summary_has_a_row_per_day_and_skill_against_both_baselines() {
    let mut ends = Ends::new(34);
    ends.faults = Faults::none().commit(2, CommitFault::Aborted).commit(4, CommitFault::UnknownApplied);
    let text =
        PIPELINE.replace("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 700, commit_every: 9s }\n");
    let calm = run(plan(&text), &Ends::new(34)).result.unwrap();
    let shaken = run(plan(&text), &ends).result.unwrap();
    assert_eq!(shaken.rewinds, 2);
    assert_eq!(shaken.days, calm.days);
    let json = summary_json(&plan(&text), &shaken);
    let (scores, days) = (json["scores"].as_array().unwrap(), json["days"].as_array().unwrap());
    assert_eq!((scores.len(), days.len()), (3, 6), "{json:#}");
    let of = |rows: &[Value], model: &str| -> Vec<Value> {
        rows.iter().filter(|row| row["model"] == model).cloned().collect()
    };
    let count = |rows: &[Value]| rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>();
    for model in ["online_linear", "persistence", "profile"] {
        assert_eq!(count(&of(days, model)), count(&of(scores, model)), "{model}");
    }
    let named: Vec<_> = of(days, "online_linear").iter().map(|row| row["day"].clone()).collect();
    assert_eq!(named, ["2026-03-02", "2026-03-03"]);
    for row in of(scores, "online_linear").iter().chain(&of(days, "online_linear")) {
        let persistence = row["skill_persistence"].as_f64().unwrap();
        assert!(persistence.abs() < 1.0 && row["skill_profile"].is_f64(), "{row:#}");
    }
    assert!(of(scores, "persistence")[0]["skill_persistence"].is_null());
}

/// Accepted rows of both partitions, as a scraper sees them.
fn accepted(ran: &crate::run_support::Ran) -> u64 {
    let text = ran.metrics.encode().unwrap();
    let lines = text.lines().filter(|line| line.starts_with("arterial_window_accepted_rows{"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn accounting_is_shown_from_the_restore_on_not_only_after_the_next_commit() {
    let text =
        PIPELINE.replace("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 700, commit_every: 9s }\n");
    let mut ends = Ends::new(10);
    // The second commit is wound back, the third ends the run: what stands is the first.
    ends.faults = Faults::none().commit(2, CommitFault::Aborted).commit(3, CommitFault::Failed);
    let failed = run(plan(&text), &ends);
    assert!(failed.result.is_err());
    assert!(accepted(&failed) >= 500, "{}", accepted(&failed));
    ends.faults = Faults::none();
    let whole = run(plan(&text), &ends).result.unwrap();
    let restarted = run(plan(&text), &ends);
    assert_eq!(accepted(&restarted), whole.accounting().accepted, "nothing was left to read, nothing was committed");
}
