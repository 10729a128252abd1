//! The pipeline file changes under existing state: what becomes of every step's, told before the run goes on or refuses.

use arterial::observe::RunEvent;
use arterial::runtime::{Connect, PipelineError, RunSummary};
use arterial::state::{Decision, StatefulStep, StepDecision, Why, decide, owner};
use arterial::vocab::MadeWith;
use arterial_connectors::ledger::{Commit, CommitOutcome, StateRecord};
use arterial_connectors::memory::{CommitFault, Faults};
use arterial_connectors::position::{Partition, Position};

use crate::run_support::{Ends, PIPELINE, Ran, edited, plan, run};

const LONGER_WINDOW: (&str, &str) = ("size: 5m", "size: 15m");

/// What became of every step: `(step, decision, why)`, of the first partition told of.
fn told(ran: &Ran) -> Vec<(&str, &str, String)> {
    let mut changed = ran.events.iter().filter_map(|event| match event {
        RunEvent::Changed(decisions) => Some(decisions),
        _ => None,
    });
    let first: &[StepDecision] = changed.next().map_or(&[], |decisions| decisions);
    assert!(changed.all(|other| other == first), "partitions disagree");
    first.iter().map(|decided| (decided.step.as_str(), decided.decision.name(), decided.why.to_string())).collect()
}

/// Five hours under the unchanged file.
fn begun() -> (Ends, RunSummary) {
    let ends = Ends::new(5);
    let summary = run(plan(PIPELINE), &ends).result.unwrap();
    (Ends { hours: 10, ..ends }, summary)
}

fn refused(ran: &Ran) -> Vec<String> {
    match &ran.result {
        Err(PipelineError::Changed { changed }) => changed.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

fn labels(summary: &RunSummary) -> u64 {
    summary.scores[0].sums.count
}

#[test]
fn unchanged_file_goes_on_and_has_nothing_to_tell() {
    let (ends, first) = begun();
    let ran = run(plan(PIPELINE), &ends);
    assert_eq!(told(&ran), []);
    let summary = ran.result.unwrap();
    assert!(labels(&first) > 0 && labels(&summary) > labels(&first));
}

#[test]
fn changed_window_is_refused_by_name_after_every_step_was_told_of() {
    let (ends, _) = begun();
    let before = ends.broker.state("corridor", Partition { topic: 0, number: 0 });
    let ran = run(plan(&edited(&[LONGER_WINDOW])), &ends);
    let meaning = "changed; the state would mean something else".to_owned();
    let expected = [
        ("decode", "keep", "unchanged".to_owned()),
        ("clean", "keep", "unchanged".to_owned()),
        ("clean.dedupe", "keep", "unchanged".to_owned()),
        ("watermark", "keep", "unchanged".to_owned()),
        ("window", "reset", meaning.clone()),
        ("lags", "reset", meaning.clone()),
        ("profile", "reset", meaning.clone()),
        ("repeats", "reset", meaning.clone()),
        ("predict.speed", "reset", meaning),
        ("alert.busy", "reset", "made from `window`, which is reset".to_owned()),
        ("alert.slow", "reset", "made from `window`, which is reset".to_owned()),
    ];
    assert_eq!(told(&ran), expected);
    assert_eq!(refused(&ran), ["window"], "the others follow");
    assert_eq!(ends.broker.state("corridor", Partition { topic: 0, number: 0 }), before, "nothing was touched");
}

#[test]
fn resetting_the_window_resets_what_is_made_from_it_and_keeps_the_rest() {
    let (ends, first) = begun();
    let reset = plan(&edited(&[LONGER_WINDOW])).with_reset(&["window".to_owned()]).unwrap();
    let ran = run(reset, &ends);
    assert_eq!(told(&ran).iter().filter(|(_, decision, _)| *decision == "reset").count(), 7);
    let summary = ran.result.unwrap();
    // Rows and duplicates count on; models and scores began anew over windows three times as long.
    let unchanged = run(plan(PIPELINE), &begun().0).result.unwrap();
    assert_eq!(summary.accounting().rows_in, unchanged.accounting().rows_in);
    assert!(summary.accounting().balanced());
    assert!(labels(&summary) > 0 && labels(&summary) < labels(&first) / 2, "{}", labels(&summary));
    let after = run(plan(&edited(&[LONGER_WINDOW])), &ends);
    assert_eq!(told(&after), [], "the state is the new file's");
    assert_eq!(after.result.unwrap().digest(), summary.digest());
}

#[test]
fn naming_only_a_step_made_from_the_changed_one_does_not_do() {
    let (ends, _) = begun();
    let reset = plan(&edited(&[LONGER_WINDOW])).with_reset(&["predict.speed".to_owned()]).unwrap();
    assert_eq!(refused(&run(reset, &ends)), ["window"]);
}

#[test]
fn settings_that_leave_the_state_its_meaning_are_taken_over() {
    let (ends, first) = begun();
    let text = edited(&[
        ("online_linear: { scale: 10 }", "online_linear: { scale: 10, forgetting: 0.99, loss: huber }"),
        ("within: 20m", "within: 30m"),
        ("max_delay: 60s", "max_delay: 120s"),
        ("\"< 500\"", "\"< 400\""),
    ]);
    let ran = run(plan(&text), &ends);
    let migrated: Vec<&str> =
        told(&ran).into_iter().filter(|(_, decision, _)| *decision == "migrate").map(|(step, ..)| step).collect();
    assert_eq!(migrated, ["clean.dedupe", "watermark", "predict.speed", "alert.busy"]);
    assert!(told(&ran).iter().all(|(_, decision, _)| ["keep", "migrate"].contains(decision)));
    let summary = ran.result.unwrap();
    assert!(labels(&summary) > labels(&first), "it learned on");
    let unchanged = run(plan(PIPELINE), &begun().0).result.unwrap();
    assert_ne!(summary.scores[0].sums, unchanged.scores[0].sums, "under the new settings");
}

/// The pipeline with speeds that are scaled in place by these settings.
fn scaled(settings: &str) -> String {
    let step = format!("within: 20m }}\n  - normalise: {{ columns: [speed_kmh], {settings} }}\n");
    edited(&[("within: 20m }\n", &step)])
}

#[test]
fn other_scale_of_values_resets_windows_and_what_is_made_of_them() {
    let given =
        |mean: u32| scaled(&format!("method: z_score, parameters: {{ speed_kmh: {{ mean: {mean}, deviation: 20 }} }}"));
    let ends = Ends::new(5);
    run(plan(&given(60)), &ends).result.unwrap();
    let ends = Ends { hours: 10, ..ends };
    assert_eq!(told(&run(plan(&given(60)), &ends)), []);
    for other in [given(70), scaled("method: z_score"), PIPELINE.to_owned()] {
        let ran = run(plan(&other), &ends);
        assert_eq!(refused(&ran), ["window"]);
        let reset = told(&ran).iter().filter(|(_, decision, _)| *decision == "reset").count();
        assert_eq!(reset, 7, "{:?}", told(&ran));
    }
    // In place or beside the column: what is learned is the same, what windows hold is not.
    let ends = Ends::new(5);
    run(plan(&scaled("method: z_score")), &ends).result.unwrap();
    let ran = run(plan(&scaled("method: z_score, suffix: _z")), &Ends { hours: 10, ..ends });
    assert_eq!(refused(&ran), ["window"]);
    assert!(told(&ran).contains(&("clean.normalise.0", "keep", "unchanged".to_owned())), "{:?}", told(&ran));
}

/// A table of sites that rows are looked up in, and one of days that features read.
fn with_tables(limit: u32, day: &str, on_change: &str) -> String {
    let tables = format!(
        "tables:\n  sites: {{ key: id, rows: [{{ id: a, limit_kmh: {limit} }}]{on_change} }}\n  \
         holidays: {{ key: day, rows: [{{ day: \"{day}\" }}]{on_change} }}\nclean:\n  \
         - lookup: {{ table: sites, on: sensor_id, columns: [limit_kmh], missing: \"null\" }}\n"
    );
    let lags = "  - lags: { column: speed_kmh, count: 3, fill: last }\n";
    edited(&[("clean:\n", &tables), (lags, &format!("{lags}  - calendar: {{ table: holidays }}\n"))])
}

#[test]
fn table_that_changed_is_refused_by_name_unless_the_file_says_that_it_may() {
    let decided = |ran: &Ran, step: &str| {
        told(ran).iter().find(|(told, ..)| *told == step).map(|(_, decision, why)| (decision.to_string(), why.clone()))
    };
    let begun = |on_change: &str| {
        let ends = Ends::new(5);
        run(plan(&with_tables(100, "2026-12-25", on_change)), &ends).result.unwrap();
        Ends { hours: 10, ..ends }
    };
    let ends = begun("");
    assert_eq!(refused(&run(plan(&with_tables(90, "2026-12-25", "")), &ends)), ["table.sites"]);
    let ran = run(plan(&with_tables(100, "2026-12-24", "")), &ends);
    assert_eq!(refused(&ran), ["table.holidays"]);
    assert_eq!(decided(&ran, "predict.speed").unwrap().1, "made from `table.holidays`, which is reset");
    assert_eq!(decided(&ran, "window").unwrap().0, "keep", "rows do not read it");
    let reset = plan(&with_tables(90, "2026-12-25", "")).with_reset(&["table.sites".to_owned()]).unwrap();
    let ran = run(reset, &ends);
    assert_eq!(decided(&ran, "window").unwrap().1, "made from `table.sites`, which is reset");
    assert_eq!(decided(&ran, "clean.dedupe").unwrap().0, "keep");
    ran.result.unwrap();
    let grows = ", on_change: keep";
    let ran = run(plan(&with_tables(90, "2026-12-24", grows)), &begun(grows));
    assert_eq!(decided(&ran, "table.sites").unwrap().0, "migrate");
    assert_eq!(decided(&ran, "window").unwrap().0, "keep");
    ran.result.unwrap();
}

#[test]
fn table_that_changed_goes_on_where_the_file_or_the_start_says_so_for_the_first_time() {
    let begun = || {
        let ends = Ends::new(5);
        run(plan(&with_tables(100, "2026-12-25", "")), &ends).result.unwrap();
        Ends { hours: 10, ..ends }
    };
    let in_file = plan(&with_tables(90, "2026-12-24", ", on_change: keep"));
    let tables = ["table.sites", "table.holidays"].map(str::to_owned);
    let at_start = plan(&with_tables(90, "2026-12-24", "")).with_keep(&tables).unwrap();
    for plan in [in_file, at_start] {
        let ran = run(plan, &begun());
        assert!(told(&ran).iter().all(|(_, decision, _)| ["keep", "migrate"].contains(decision)), "{:?}", told(&ran));
        ran.result.unwrap();
    }
}

/// The pipeline reading times of a zone, speeds of a field, and speeds in a unit.
fn read_as(zone: &str, speed: &str, unit: &str) -> String {
    let decode = format!("schema: traffic-observation.v1, timezone: {zone}, paths: {{ speed_kmh: {speed} }} }}");
    edited(&[
        ("schema: traffic-observation.v1 }", &decode),
        ("clean:\n", &format!("clean:\n  - unit: {{ speed_kmh: {{ from: {unit}, to: km/h }} }}\n")),
    ])
}

#[test]
fn values_and_times_that_are_read_otherwise_are_refused_unless_they_mean_the_same() {
    let begun = || {
        let ends = Ends::new(5);
        run(plan(&read_as("Europe/Vienna", "speed_kmh", "km/h")), &ends).result.unwrap();
        Ends { hours: 10, ..ends }
    };
    let changed = [
        (read_as("Europe/London", "speed_kmh", "km/h"), "decode", "watermark"),
        (read_as("Europe/Vienna", "speed", "km/h"), "decode", "watermark"),
        (read_as("Europe/Vienna", "speed_kmh", "mi/h"), "clean", "window"),
    ];
    for (text, step, first) in changed {
        let ends = begun();
        let ran = run(plan(&text), &ends);
        assert_eq!(refused(&ran), [step]);
        let of = told(&ran).into_iter().find(|(told, ..)| *told == first).unwrap();
        assert_eq!(of, (first, "reset", format!("made from `{step}`, which is reset")));

        let kept = run(plan(&text).with_keep(&[step.to_owned()]).unwrap(), &ends);
        let moved: Vec<_> = told(&kept).into_iter().filter(|(_, decision, _)| *decision != "keep").collect();
        assert_eq!(moved.iter().map(|(step, decision, _)| (*step, *decision)).collect::<Vec<_>>(), [(step, "migrate")]);
        kept.result.unwrap();
        let again = Ends { hours: 10, ..ends };
        assert_eq!(told(&run(plan(&text), &again)), [], "accepted once");

        let ran = run(plan(&text).with_reset(&[step.to_owned()]).unwrap(), &begun());
        assert!(told(&ran).iter().any(|(step, decision, _)| (*step, *decision) == ("predict.speed", "reset")));
        ran.result.unwrap();
    }
}

#[test]
fn cleaning_that_only_takes_values_away_is_told_and_goes_on() {
    let (ends, _) = begun();
    let ran = run(plan(&edited(&[("clean:\n", "clean:\n  - null_if: { speed_kmh: \"speed_kmh > 200\" }\n")])), &ends);
    let moved: Vec<_> = told(&ran).into_iter().filter(|(_, decision, _)| *decision != "keep").collect();
    assert_eq!(moved.iter().map(|(step, decision, _)| (*step, *decision)).collect::<Vec<_>>(), [("clean", "migrate")]);
    ran.result.unwrap();
}

#[test]
fn only_what_has_no_state_of_its_own_can_be_kept() {
    let error = plan(PIPELINE).with_keep(&["window".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("`window` has state of its own") && error.ends_with("decode, clean"), "{error}");
}

#[test]
fn step_that_left_the_file_is_reset_by_its_name_and_starts_anew_when_it_comes_back() {
    let ends = Ends::new(8);
    run(plan(PIPELINE), &ends).result.unwrap();
    let ends = Ends { hours: 10, ..ends };
    let rule = PIPELINE.lines().find(|line| line.starts_with("  busy:")).unwrap();
    let without = PIPELINE.replace(rule, "");
    let ran = run(plan(&without), &ends);
    assert_eq!(told(&ran).last().unwrap(), &("alert.busy", "reset", "no longer in the file".to_owned()));
    assert_eq!(refused(&ran), ["alert.busy"]);
    let held = |ends: &Ends| {
        let state = (0..2).flat_map(|number| ends.broker.state("corridor", Partition { topic: 0, number }));
        state.filter(|(key, _)| key.starts_with(b"alert.busy")).count()
    };
    assert!(held(&ends) > 0);
    let reset = plan(&without).with_reset(&["alert.busy".to_owned()]).unwrap();
    run(reset, &ends).result.unwrap();
    assert_eq!(held(&ends), 0);
    let back = run(plan(PIPELINE), &ends);
    assert!(told(&back).contains(&("alert.busy", "start", "new in the file".to_owned())), "{:?}", told(&back));
    back.result.unwrap();
}

#[test]
fn reset_happens_once_however_often_the_run_goes_back() {
    let reset = || {
        let text = PIPELINE.replace("at_least_once\n", "at_least_once\nruntime: { commit_rows_max: 500 }\n");
        plan(&text).with_reset(&["all".to_owned()]).unwrap()
    };
    let (calm, _) = begun();
    let undisturbed = run(reset(), &calm).result.unwrap();
    let (mut shaken, _) = begun();
    shaken.faults =
        [1, 3, 4, 7].into_iter().fold(Faults::none(), |faults, nth| faults.commit(nth, CommitFault::Aborted));
    let ran = run(reset(), &shaken);
    assert!(told(&ran).iter().all(|(_, decision, why)| *decision == "reset" && why == "asked for"), "{:?}", told(&ran));
    let summary = ran.result.unwrap();
    assert_eq!(summary.rewinds, 4);
    assert_eq!(summary.digest(), undisturbed.digest());
}

#[test]
fn state_that_nobody_can_read_is_refused_and_forgotten_when_all_is_reset() {
    let (ends, _) = begun();
    let partition = Partition { topic: 0, number: 0 };
    let mut ledger = ends.ledger("0-0", &[]).unwrap();
    ledger.restore(&[partition]).unwrap();
    ledger.begin().unwrap();
    let garbage = StateRecord { partition, key: b"partition\0\0\0\0\0".to_vec(), value: Some(b"garbage".to_vec()) };
    let next_offset = ends.broker.committed_offset("corridor", partition).unwrap();
    let positions = [Position { partition, next_offset }];
    let commit = Commit { positions: &positions, state: &mut std::iter::once(garbage), group: None };
    assert_eq!(ledger.commit(commit).unwrap(), CommitOutcome::Committed);
    drop(ledger);

    let error = run(plan(PIPELINE), &ends).result.unwrap_err();
    assert!(error.to_string().contains("state of step `partition`"), "{error}");
    assert!(error.hint().contains("--reset all"), "{}", error.hint());
    let some = plan(PIPELINE).with_reset(&["window".to_owned()]).unwrap();
    assert!(run(some, &ends).result.is_err(), "nobody asked to forget all of it");
    let all = plan(PIPELINE).with_reset(&["all".to_owned()]).unwrap();
    let summary = run(all, &ends).result.unwrap();
    assert!(summary.accounting().balanced());
    let again = run(plan(PIPELINE), &ends);
    assert_eq!(told(&again), []);
    assert_eq!(again.result.unwrap().digest(), summary.digest());
}

#[test]
fn reset_of_an_unknown_step_names_those_there_are() {
    let error = plan(PIPELINE).with_reset(&["windows".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("`windows` keeps no state") && error.contains("window, lags"), "{error}");
}

#[test]
fn reset_of_a_step_that_is_gone_is_allowed_and_told_apart() {
    let steps = ["predict.speed", "predict.gone", "all"].map(str::to_owned);
    let plan = plan(PIPELINE).with_reset(&steps).unwrap();
    assert_eq!(plan.unknown_resets().map(|(step, _)| step).collect::<Vec<_>>(), ["predict.gone"]);
}

fn step(name: &str, meaning: &str, settings: &str, made_from: &[&str]) -> StatefulStep {
    let made_with = MadeWith { step: name.to_owned(), meaning: meaning.to_owned(), settings: settings.to_owned() };
    StatefulStep::new(&made_with, made_from.iter().map(|from| (*from).to_owned()).collect())
}

#[test]
fn reset_reaches_everything_downstream_and_nothing_upstream() {
    let steps = |b: &str| {
        [step("a", "1", "1", &[]), step("b", b, "1", &["a"]), step("c", "1", "1", &["b"]), step("d", "1", "1", &["a"])]
    };
    let saved: Vec<_> = steps("1").into_iter().map(|step| step.identity).collect();
    let of = |b: &str, asked: &'static str| {
        let decided = decide(&saved, &steps(b), |step| step == asked);
        decided.iter().map(|one| (one.decision, one.refused)).collect::<Vec<_>>()
    };
    let (keep, reset, refused) = ((Decision::Keep, false), (Decision::Reset, false), (Decision::Reset, true));
    assert_eq!(of("1", ""), [keep; 4]);
    assert_eq!(of("2", ""), [keep, refused, reset, keep]);
    assert_eq!(of("2", "b"), [keep, reset, reset, keep]);
    assert_eq!(of("2", "c"), [keep, refused, reset, keep]);
    assert_eq!(of("2", "a"), [reset; 4], "what is asked for covers what follows");
    assert_eq!(of("1", "a"), [reset; 4]);
    let why = decide(&saved, &steps("2"), |_| false);
    assert_eq!(why[2].why, Why::MadeFrom("b".to_owned()));
}

#[test]
fn block_belongs_to_the_step_with_the_longest_name_that_fits() {
    let steps = ["clean.dedupe", "clean.dedupe.2", "predict.speed", "predict.speed_limit", "window"];
    let of = |block: &str| owner(block, steps.into_iter());
    assert_eq!(of("clean.dedupe"), Some("clean.dedupe"));
    assert_eq!(of("clean.dedupe.2"), Some("clean.dedupe.2"));
    assert_eq!(of("predict.speed.scores"), Some("predict.speed"));
    assert_eq!(of("predict.speed_limit.scores"), Some("predict.speed_limit"));
    assert_eq!(of("window.keys"), Some("window"));
    assert_eq!(of("windows"), None);
    assert_eq!(of("partition"), None);
}
