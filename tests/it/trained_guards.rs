//! What must not happen with trained networks: a part of a history taken for all of it, versions compared on rows that one
//! of them learned, a folder that is not there taken for nothing learned, records that a crash or a damaged file makes unreadable.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use arterial::models::NotFitted;
use arterial::models::by_key::ErrorsByKey;
use arterial::models::folds::Folds;
use arterial::stages::predict::neural::fit::{Evaluation, Training, fit};
use arterial::stages::predict::neural::{MlpClassifier, MlpClassifierParams};
use arterial::stages::predict::{OnlinePredictor, Predictor};
use arterial::vocab::Snapshot;
use serde_json::{Value, json};

use crate::predict_support::{MemoryState, Numbers};
use crate::trained_models::{
    PIPELINE, arterial, classifier, columns, done, examples, folder, matrix, pretrained, probabilities, refused,
    settings, trained,
};

/// The pipeline with the first part, which stands once, replaced by the second.
fn write(folder: &Path, from: &str, to: &str) {
    assert_eq!(PIPELINE.matches(from).count(), 1, "{from}");
    std::fs::write(folder.join("classes.yaml"), PIPELINE.replace(from, to)).unwrap();
}

/// The first lines of the history, as a file of its own.
fn beginning(folder: &Path, name: &str, rows: usize) {
    let all = std::fs::read_to_string(folder.join("history.ndjson")).unwrap();
    let some: String = all.split_inclusive('\n').take(rows).collect();
    std::fs::write(folder.join(name), some).unwrap();
}

#[test]
fn training_that_is_told_to_stop_ends_at_once_and_leaves_no_version() {
    let folder = folder("stopped", 0, 2.0);
    // A history that takes hours.
    let corridor = r#"
version: 1
pipeline: corridor
sources:
  loops:
    simulate: { detectors: 500, length: 3000d, partitions: 1 }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, stamps: end, interval: 60s, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh) } }
features:
  - lags: { column: speed_kmh, count: 3, fill: last }
predict:
  speed:
    target: speed_kmh
    horizons: [15m]
    model: { mlp: { artefact: model } }
sinks:
  forecasts: { from: forecasts, memory: {} }
delivery: at_least_once
"#;
    std::fs::write(folder.join("corridor.yaml"), corridor).unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.current_dir(&folder).env("ARTERIAL_LOG", "info").args(["train", "--promote", "corridor.yaml"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("rows read")), "how it gets on is told");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{signal}");
        assert!(lines.any(|line| line.unwrap().contains("nothing is kept")), "{signal}");
        assert!(!folder.join("model").exists(), "{signal}");
    }
}

#[test]
fn network_that_learns_starts_untrained_without_a_version_and_everybody_is_told() {
    let folder = folder("untrained", 40, 2.0);
    write(&folder, ", artefact: model, online: false", ", artefact: modle");
    let valid = done(&folder, &["validate", "classes.yaml"]);
    assert!(
        valid.contains("is valid; `predict.heart.model.mlp_classifier` STARTS UNTRAINED: the folder `modle`"),
        "{valid}"
    );
    assert!(done(&folder, &["explain", "classes.yaml"]).contains("STARTS UNTRAINED"));
    let run = arterial(&folder, &["run", "--until", "latest", "classes.yaml"]);
    assert!(run.status.success() && String::from_utf8_lossy(&run.stderr).contains("STARTS UNTRAINED"), "{run:?}");
    std::fs::create_dir(folder.join("modle")).unwrap();
    assert!(done(&folder, &["validate", "classes.yaml"]).contains("no version of `modle` serves"));
    done(&folder, &["train", "classes.yaml"]);
    // On eight rows the regression is better.
    done(&folder, &["models", "promote", "modle", "v1", "--uncompared", "--reason", "few rows"]);
    let valid = done(&folder, &["validate", "classes.yaml"]);
    assert!(!valid.contains("UNTRAINED"), "{valid}");
    assert!(done(&folder, &["explain", "classes.yaml"]).contains("starts from v1 of `modle`, trained on 2026-01-01"));
    let eval = arterial(&folder, &["eval", "classes.yaml"]);
    let told = String::from_utf8_lossy(&eval.stderr);
    assert!(told.contains("32 of the labels scored are of times to 2026-01-01T00:00:3"), "{told}");
    let eval = arterial(&folder, &["eval", "--from", "2026-01-01T00:00:36Z", "classes.yaml"]);
    assert!(eval.status.success() && !String::from_utf8_lossy(&eval.stderr).contains("labels scored"), "{eval:?}");
}

#[test]
fn version_of_another_target_is_refused_and_one_of_another_pipeline_is_told() {
    let folder = folder("target", 200, 2.0);
    trained(&folder, &["--promote"]);
    std::fs::write(folder.join("classes.yaml"), PIPELINE.replace("pipeline: classes", "pipeline: ward")).unwrap();
    let valid = done(&folder, &["validate", "classes.yaml"]);
    assert!(valid.contains("was trained for predictor `heart` of pipeline `classes`"), "{valid}");
    let other = PIPELINE
        .replace("heart_disease: last(heart_disease)", "heart_disease: last(heart_disease), ill: max(heart_disease)");
    std::fs::write(folder.join("classes.yaml"), other.replace("target: heart_disease", "target: ill")).unwrap();
    let err = refused(&folder, &["validate", "classes.yaml"], 78);
    assert!(
        err.contains("trained network v1 does not fit: it tells `heart_disease`; the predictor's target is `ill`"),
        "{err}"
    );
}

#[test]
fn versions_are_compared_on_rows_that_neither_has_learned() {
    let folder = folder("unseen", 400, 2.0);
    trained(&folder, &["--promote"]);
    // v1 learned to row 320. Of the last 120 rows of 400, 80 are newer.
    let card = trained(&folder, &["--hold-out", "0.3"]);
    let beside = &card["beside"][2];
    assert_eq!(
        (&beside["model"], &beside["hold_out"]["rows"], &beside["own"]["rows"]),
        (&"v1".into(), &80.into(), &80.into())
    );
    assert_eq!(card["hold_out"]["rows"], 120);
    // Of the first 300 it has learned all.
    beginning(&folder, "older.ndjson", 300);
    let card = trained(&folder, &["--file", "older.ndjson"]);
    let why = json!({ "version": "v1", "why": { "too_few_rows": { "rows": 0, "data_to": card["not_compared"]["why"]["too_few_rows"]["data_to"] } } });
    assert_eq!((&card["not_compared"], card["beside"].as_array().unwrap().len()), (&why, 2), "{card}");
    let err = refused(&folder, &["models", "promote", "model", "v3"], 1);
    assert!(
        err.contains("it was trained on rows to 2026-01-01T00:05:20Z: of those held out only 0 are later")
            && err.contains("hold out more"),
        "{err}"
    );
}

#[test]
fn what_cannot_be_compared_serves_only_where_somebody_says_why() {
    let folder = folder("uncompared", 200, 2.0);
    trained(&folder, &["--promote"]);
    write(&folder, "columns: [age, st_depression]", "columns: [st_depression]");
    trained(&folder, &[]);
    let err = refused(&folder, &["models", "promote", "model", "v2"], 1);
    assert!(
        err.contains("it reads age, st_depression; this one st_depression") && err.contains("--uncompared"),
        "{err}"
    );
    refused(&folder, &["models", "promote", "model", "v2", "--uncompared"], 2);
    let forced = ["models", "promote", "model", "v2", "--uncompared", "--reason", "age is not asked any more"];
    assert!(done(&folder, &forced).contains("v2 serves, where v1 did"));
    assert!(
        done(&folder, &["models", "ls", "model"]).contains("v2 serves after v1 uncompared: age is not asked any more")
    );
    done(&folder, &["validate", "classes.yaml"]);
    // Where it was compared, that counts.
    trained(&folder, &[]);
    let err = refused(&folder, &["models", "promote", "model", "v3", "--uncompared", "--reason", "so"], 1);
    assert!(err.contains("v3 was measured beside v2"), "{err}");
    let differences: Value =
        serde_json::from_str(&done(&folder, &["models", "diff", "model", "v1", "v2", "--format", "json"])).unwrap();
    let paths: Vec<&str> = differences.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"not_compared") && paths.contains(&"features"), "{paths:?}");
}

#[test]
fn network_of_classes_that_was_measured_on_a_handful_of_rows_serves_only_where_somebody_says_why() {
    // One epoch of eight rows may be ahead of the share of ones by chance.
    let folder = folder("handful", 95, 2.0);
    trained(&folder, &[]);
    let err = refused(&folder, &["models", "promote", "model", "v1"], 1);
    assert!(err.contains("v1 is not promoted: too little was held out to say how good it is: 19 rows"), "{err}");
    assert!(err.contains("--uncompared"), "{err}");
    done(&folder, &["models", "promote", "model", "v1", "--uncompared", "--reason", "a trial"]);
    trained(&folder, &["--hold-out", "0.22"]);
    done(&folder, &["models", "promote", "model", "v2", "--uncompared", "--reason", "v1 had learned those rows"]);
}

#[test]
fn key_that_is_far_off_counts_as_every_other_when_versions_are_compared() {
    let compared = |own: [f64; 2], other: [f64; 2]| {
        let mut errors = ErrorsByKey::default();
        let names: Vec<String> = (0..20).map(|key| format!("k{key}")).chain(["mad".to_owned()]).collect();
        for (model, [sane, mad]) in [("own", own), ("other", other)] {
            for _ in 0..10 {
                let one = names.iter().map(|name| (name.as_str(), if name == "mad" { mad } else { -sane }));
                errors.add(model, 900_000_000, one);
            }
        }
        let [one] = errors.compare("own", "other").try_into().unwrap();
        assert_eq!((one.keys, one.horizon.as_str()), (21, "15m"));
        (one.own, one.other)
    };
    // Better at all keys but one: it does not block.
    let (own, other) = compared([8.0, 9e6], [10.0, 1e6]);
    assert!(own < other, "{own} beside {other}");
    for spoofed in [1e300, f64::INFINITY] {
        let (own, other) = compared([8.0, spoofed], [10.0, spoofed]);
        assert!(own < other, "{own} beside {other}");
    }
    // Worse at all keys but one: it does not promote.
    let (own, other) = compared([10.0, 1.0], [8.0, 9e6]);
    assert!(own > other, "{own} beside {other}");
}

#[test]
fn network_and_regression_are_compared_over_the_folds_that_both_have_and_the_others_are_told() {
    let of = |right: bool| Evaluation::of(&[0.9, 0.2], if right { &[1.0, 0.0] } else { &[0.0, 1.0] }, 0.5);
    let mut folds = Folds::default();
    folds.add(of(true), Some(of(true)));
    // The hard one, which the regression does not have.
    folds.add(of(false), None);
    let (own, beside) = folds.both().unwrap();
    assert_eq!((own.accuracy, beside.accuracy, folds.mean().unwrap().accuracy), (1.0, 1.0, 0.5));
    let told = NotFitted::of(true, folds.not_fitted()).unwrap().to_string();
    assert_eq!(told, "the regression could not be fitted to the rows that were learned and folds 2");
    assert_eq!(NotFitted::of(false, Vec::new()), None);
}

#[test]
fn rows_of_one_time_are_held_out_whatever_their_values() {
    let folder = folder("one-time", 0, 2.0);
    let (mut numbers, mut lines) = (Numbers(5), String::new());
    for row in 0..600 {
        let (age, depression) = (60.0 + 8.0 * numbers.normal(), 1.5 + 0.7 * numbers.normal());
        let label = u8::from(age > 60.0);
        writeln!(
            lines,
            "{{\"patient_id\":\"p{row}\",\"observed_at\":\"2026-01-01T00:00:00Z\",\"age\":{age},\"st_depression\":{depression},\
             \"heart_disease\":{label}}}"
        )
        .unwrap();
    }
    std::fs::write(folder.join("history.ndjson"), &lines).unwrap();
    let card = trained(&folder, &[]);
    let share = card["positives"].as_f64().unwrap() / card["rows"].as_f64().unwrap();
    // The newest fifth by values would be those who are old: all of one class, and refused.
    assert!((0.4..0.6).contains(&share) && card["hold_out"]["rows"] == 120, "{card}");
    let mut turned: Vec<&str> = lines.lines().collect();
    turned.reverse();
    std::fs::write(folder.join("history.ndjson"), turned.join("\n") + "\n").unwrap();
    assert_eq!(trained(&folder, &[])["data_hash"], card["data_hash"], "the order of the file does not matter");
}

#[test]
fn half_a_line_and_a_damaged_card_are_in_nobodys_way() {
    let folder = folder("torn", 200, 2.0);
    trained(&folder, &["--promote"]);
    trained(&folder, &[]);
    let record = folder.join("model/promotions.ndjson");
    let whole = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, format!("{whole}{{\"at\":\"2026-")).unwrap();
    let valid = arterial(&folder, &["validate", "classes.yaml"]);
    assert!(valid.status.success(), "{valid:?}");
    assert!(done(&folder, &["models", "promote", "model", "v2"]).contains("v2 serves, where v1 did"));
    let after = std::fs::read_to_string(&record).unwrap();
    assert!(after.starts_with(&whole) && after.lines().count() == 2 && after.ends_with('\n'), "{after}");
    let card = folder.join("model/v1/card.json");
    let text = std::fs::read_to_string(&card).unwrap();
    std::fs::write(&card, text.replacen("\"log_loss\": 0", "\"log_loss\": null, \"was\": 0", 1)).unwrap();
    let ls: Value = serde_json::from_str(&done(&folder, &["models", "ls", "model", "--format", "json"])).unwrap();
    assert!(
        ls["versions"][0]["error"].as_str().unwrap().contains("is damaged") && ls["versions"][1]["card"].is_object(),
        "{ls}"
    );
    std::fs::create_dir(folder.join("model/.making")).unwrap();
    assert_eq!(trained(&folder, &[])["version"], "v3", "what somebody left half written is taken away");
    assert!(!folder.join("model/.making").exists());
}

#[test]
fn several_who_add_at_once_get_versions_of_their_own() {
    let folder = folder("race", 200, 2.0);
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
        command.current_dir(&folder).env("ARTERIAL_LOG", "warn").args(["train", "--epochs", "2", "classes.yaml"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let ls: Value = serde_json::from_str(&done(&folder, &["models", "ls", "model", "--format", "json"])).unwrap();
    let versions: Vec<&Value> = ls["versions"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, ["v1", "v2", "v3"]);
}

#[test]
fn state_that_went_on_from_a_trained_network_is_not_dropped_for_an_untrained_one() {
    let fresh = || {
        let params = MlpClassifierParams::new(&settings(None, true)).unwrap();
        MlpClassifier::new("predict.test", params, vec![columns().iter().cloned().enumerate().collect()])
    };
    let first = pretrained(1);
    let (mut warm, mut cold) = (classifier(&first, true), fresh());
    for step in 0..30 {
        let (features, labels) = matrix(step);
        warm.learn_many(0, &features, &labels);
        cold.learn_many(0, &features, &labels);
    }
    let (mut of_warm, mut of_cold) = (MemoryState::default(), MemoryState::default());
    warm.snapshot(Snapshot::Full, &mut of_warm);
    cold.snapshot(Snapshot::Full, &mut of_cold);
    let error = fresh().restore(&of_warm).unwrap_err().to_string();
    assert!(error.contains("went on from trained network v1 (blake3 1...)") && error.contains("`artefact`"), "{error}");
    // One that had none yet goes on from the version, with the rows that it remembers.
    let mut restored = classifier(&first, true);
    restored.restore(&of_cold).unwrap();
    let (features, _) = matrix(100);
    assert_eq!(probabilities(&restored, &features), probabilities(&classifier(&first, true), &features));
    assert_eq!(restored.version(0), cold.version(0));
}

#[test]
fn weights_that_are_no_numbers_make_no_version_and_undefined_measures_no_mean() {
    let params = MlpClassifierParams::new(&settings(None, true)).unwrap();
    let params = MlpClassifierParams { rates: (f32::MAX, 0.0), ..params };
    let error = fit(&params, &examples(200, 1), Training { epochs: 10, seed: 1 }).unwrap_err().to_string();
    assert!(error.contains("no numbers") && error.contains("`learning_rate`"), "{error}");
    let both = Evaluation::of(&[0.9, 0.2, 0.6, 0.6], &[1.0, 0.0, 1.0, 0.0], 0.5);
    let negatives = Evaluation::of(&[0.1, 0.2], &[0.0, 0.0], 0.5);
    assert_eq!((negatives.auc, negatives.recall), (None, None));
    let mean = Evaluation::mean(&[both, negatives]);
    assert_eq!((mean.auc, mean.recall, mean.rows), (Some(0.875), Some(1.0), 6));
    assert_eq!(mean.accuracy, 0.875);
}
