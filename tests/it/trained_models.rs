//! Networks trained on a history: their versions as files, which one may serve, and pipelines that start from it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arterial::models::{Store, StoreError, Version, tensors};
use arterial::stages::features::{ColumnKind, FeatureColumn, FeatureMatrix};
use arterial::stages::predict::neural::fit::{Evaluation, Examples, Pretrained, Training, fit, folds};
use arterial::stages::predict::neural::{MlpClassifier, MlpClassifierParams};
use arterial::stages::predict::{MlpClassifierSettings, OnlinePredictor, Predictor};
use arterial::vocab::{EventTime, Snapshot};
use serde_json::Value;

use crate::predict_support::{MemoryState, Numbers};

/// Classes of sensors' readings through a small network that is trained before.
pub(crate) const PIPELINE: &str = r#"
version: 1
pipeline: classes
sources:
  records:
    file: { path: history.ndjson, partitions: 1 }
    decode: { schema: heart-examination.v1 }
    partitioned_by: patient_id
    event_time: { column: observed_at, max_delay: 1s }
window: { size: 1s, key: [patient_id], columns: { age: last(age), st_depression: last(st_depression), heart_disease: last(heart_disease) } }
keys: { expire_after: 2s }
features:
  - values: { columns: [age, st_depression] }
predict:
  heart:
    target: heart_disease
    task: classification
    horizons: [0s]
    model: { mlp_classifier: { hidden: [8], learning_rate: 0.01, artefact: model, online: false } }
sinks:
  classes: { from: forecasts, memory: {} }
delivery: at_least_once
"#;

/// A folder with the pipeline and a history of so many rows; `sense`: how well age and ST depression tell the class.
pub(crate) fn folder(name: &str, rows: usize, sense: f64) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("trained-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("classes.yaml"), PIPELINE).unwrap();
    history(&folder, rows, sense);
    folder
}

pub(crate) fn history(folder: &Path, rows: usize, sense: f64) {
    let mut numbers = Numbers(77);
    let mut lines = String::new();
    for row in 0..rows {
        let (age, depression) = (60.0 + 8.0 * numbers.normal(), 1.5 + 0.7 * numbers.normal());
        let odds = sense * ((age - 60.0) / 8.0 + (depression - 1.5) / 0.7) + numbers.normal();
        let (minute, second) = (row / 60, row % 60);
        writeln!(
            lines,
            "{{\"patient_id\":\"p{row}\",\"observed_at\":\"2026-01-01T00:{minute:02}:{second:02}Z\",\"age\":{age},\
             \"st_depression\":{depression},\"heart_disease\":{}}}",
            u8::from(odds > 0.0)
        )
        .unwrap();
    }
    std::fs::write(folder.join("history.ndjson"), lines).unwrap();
}

pub(crate) fn arterial(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder).env("ARTERIAL_LOG", "warn").args(arguments).output().expect("it runs")
}

pub(crate) fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = arterial(folder, arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = arterial(folder, arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
    err
}

pub(crate) fn trained(folder: &Path, more: &[&str]) -> Value {
    let arguments = [&["train", "--format", "json", "classes.yaml"], more].concat();
    serde_json::from_str(&done(folder, &arguments)).unwrap()
}

#[test]
fn network_is_trained_measured_promoted_and_serves_from_the_first_record_on() {
    let folder = folder("serves", 400, 2.0);
    let err = refused(&folder, &["validate", "classes.yaml"], 78);
    assert!(err.contains("no folder `model`") && err.contains("arterial train"), "{err}");
    let card = trained(&folder, &["--folds", "4"]);
    assert_eq!((&card["version"], &card["rows"]), (&"v1".into(), &320.into()), "{card}");
    assert_eq!(card["hold_out"]["rows"], 80);
    let accuracy = |evaluation: &Value| evaluation["accuracy"].as_f64().unwrap();
    assert!(accuracy(&card["hold_out"]) > 0.85, "{card}");
    assert!(accuracy(&card["cross_validation"]) > 0.85 && card["cross_validation"]["rows"] == 400, "{card}");
    let besides: Vec<&str> =
        card["beside"].as_array().unwrap().iter().map(|one| one["model"].as_str().unwrap()).collect();
    assert_eq!(besides, ["base_rate", "logistic_regression"]);
    let err = refused(&folder, &["validate", "classes.yaml"], 78);
    assert!(err.contains("no version of `model` serves"), "{err}");
    assert!(done(&folder, &["models", "promote", "model", "v1"]).contains("v1 serves"));
    done(&folder, &["validate", "classes.yaml"]);
    let eval: Value = serde_json::from_str(&done(&folder, &["eval", "--format", "json", "classes.yaml"])).unwrap();
    let model = &eval["scores"][0];
    assert_eq!((&model["model"], &model["count"]), (&"mlp_classifier".into(), &400.into()), "{eval}");
    assert!(accuracy(model) > 0.85, "{model}");
    // The same rows, seed and settings make the same network.
    let again = trained(&folder, &[]);
    assert_eq!((&again["version"], &again["model_hash"]), (&"v2".into(), &card["model_hash"]));
    assert_eq!(again["data_hash"], card["data_hash"]);
    assert_eq!(again["beside"][2]["model"], "v1", "measured beside the version that serves");
}

#[test]
fn version_that_is_worse_on_the_rows_held_out_never_serves() {
    let folder = folder("gate", 400, 2.0);
    trained(&folder, &["--promote"]);
    // One epoch of ten thousand: it knows next to nothing.
    std::fs::write(folder.join("classes.yaml"), PIPELINE.replace("0.01", "0.000001")).unwrap();
    let card = trained(&folder, &["--epochs", "1"]);
    let losses = |one: &Value| one["log_loss"].as_f64().unwrap();
    assert!(losses(&card["hold_out"]) > losses(&card["beside"][2]["hold_out"]), "{card}");
    let err = refused(&folder, &["models", "promote", "model", "v2"], 1);
    assert!(err.contains("v2 is not promoted: on the rows held out its log loss is") && err.contains("hint:"), "{err}");
    let ls: Value = serde_json::from_str(&done(&folder, &["models", "ls", "model", "--format", "json"])).unwrap();
    let serves: Vec<bool> =
        ls["versions"].as_array().unwrap().iter().map(|one| one["serves"].as_bool().unwrap()).collect();
    assert_eq!(serves, [true, false]);
    assert_eq!(ls["promotions"].as_array().unwrap().len(), 1, "what is refused is no promotion");
    assert!(done(&folder, &["models", "diff", "model", "v1", "v2"]).contains("training.epochs"));
}

#[test]
fn promotions_are_recorded_and_can_be_taken_back_one_by_one() {
    let folder = folder("rollback", 200, 2.0);
    for _ in 0..3 {
        trained(&folder, &["--promote"]);
    }
    assert!(
        done(&folder, &["models", "rollback", "model", "--reason", "false alarms"]).contains("v2 serves, where v3 did")
    );
    assert!(done(&folder, &["models", "rollback", "model"]).contains("v1 serves, where v2 did"));
    assert!(refused(&folder, &["models", "rollback", "model"], 1).contains("nothing served before v1"));
    let ls = done(&folder, &["models", "ls", "model"]);
    assert!(ls.contains("v2 serves after v3: false alarms") && ls.contains("v1 serves after v2: by hand"), "{ls}");
    assert!(refused(&folder, &["models", "promote", "model", "v1"], 1).contains("v1 serves already"));
    // It was measured beside v1 when it was trained; v3 was not, but beside v2.
    let err = refused(&folder, &["models", "promote", "model", "v3"], 1);
    assert!(err.contains("v3 is not promoted: it was not measured beside v1"), "{err}");
    assert!(done(&folder, &["models", "promote", "model", "v2"]).contains("v2 serves, where v1 did"));
    // One that serves a second time took over from another than the first time.
    done(&folder, &["models", "promote", "model", "v3"]);
    done(&folder, &["models", "promote", "model", "v2", "--uncompared", "--reason", "once more"]);
    for back in ["v3 serves, where v2 did", "v2 serves, where v3 did", "v1 serves, where v2 did"] {
        assert!(done(&folder, &["models", "rollback", "model"]).contains(back), "{back}");
    }
    assert!(refused(&folder, &["models", "rollback", "model"], 1).contains("nothing served before v1"));
}

#[test]
fn network_that_is_worse_than_the_regression_by_more_than_chance_serves_only_where_somebody_says_why() {
    let folder = folder("regression", 400, 2.0);
    // It has hardly learned anything: better than the base rate, far from the regression.
    let card = trained(&folder, &["--epochs", "2"]);
    let [base, regression] = card["beside"].as_array().unwrap().as_slice() else { panic!("{card}") };
    let log_loss = |evaluation: &Value| evaluation["log_loss"].as_f64().unwrap();
    let (own, regressed) = (log_loss(&card["hold_out"]), log_loss(&regression["hold_out"]));
    let slack = regression["standard_error"].as_f64().unwrap();
    assert!(own < log_loss(&base["hold_out"]) && own > regressed + slack && slack > 0.0, "{card}");
    let err = refused(&folder, &["models", "promote", "model", "v1"], 1);
    assert!(err.contains("logistic_regression") && err.contains("--uncompared"), "{err}");
    done(&folder, &["models", "promote", "model", "v1", "--uncompared", "--reason", "a trial"]);
    assert!(done(&folder, &["models", "ls", "model"]).contains("v1 serves uncompared: a trial"));
}

#[test]
fn damaged_or_missing_files_are_named() {
    let folder = folder("damaged", 200, 2.0);
    trained(&folder, &["--promote"]);
    assert!(refused(&folder, &["models", "show", "model", "v7"], 1).contains("`model` has no v7"));
    done(&folder, &["models", "export", "model", "v1", "copy"]);
    assert!(folder.join("copy/model.safetensors").is_file() && folder.join("copy/card.json").is_file());
    assert!(refused(&folder, &["models", "export", "model", "v1", "copy"], 1).contains("`copy`"));
    let weights = folder.join("model/v1/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let err = refused(&folder, &["validate", "classes.yaml"], 78);
    assert!(err.contains("model.safetensors` is damaged: its hash is"), "{err}");
    std::fs::write(folder.join("model/v1/card.json"), "{}").unwrap();
    let ls = arterial(&folder, &["models", "ls", "model"]);
    assert!(ls.status.success() && String::from_utf8_lossy(&ls.stdout).contains("damaged"), "{ls:?}");
    assert!(String::from_utf8_lossy(&ls.stderr).contains("card.json` is damaged"), "{ls:?}");
}

#[test]
fn what_teaches_nothing_makes_no_version() {
    let folder = folder("nothing", 3, 2.0);
    history(&folder, 0, 2.0);
    assert!(refused(&folder, &["train", "classes.yaml"], 1).contains("0 labelled rows"));
    history(&folder, 40, 0.0);
    std::fs::write(
        folder.join("history.ndjson"),
        std::fs::read_to_string(folder.join("history.ndjson"))
            .unwrap()
            .replace("\"heart_disease\":0", "\"heart_disease\":1"),
    )
    .unwrap();
    assert!(refused(&folder, &["train", "classes.yaml"], 1).contains("one has no 0"));
    assert!(refused(&folder, &["train", "--hold-out", "1", "classes.yaml"], 2).contains("--hold-out 1"));
    assert!(refused(&folder, &["train", "--predictor", "lung", "classes.yaml"], 2).contains("--predictor heart"));
    assert!(!folder.join("model").exists());
}

pub(crate) fn settings(pretrained: Option<Arc<Pretrained>>, online: bool) -> MlpClassifierSettings {
    MlpClassifierSettings {
        features: None,
        hidden: vec![8],
        dropout: 0.0,
        min_labels: 20,
        steps: 1,
        batch: 16,
        learning_rate: 0.01,
        weight_decay: 0.0,
        average: 0.9,
        replay_rows: 64,
        seed: 1,
        online,
        pretrained,
    }
}

/// Rows of two columns, of which the first tells the class.
pub(crate) fn examples(rows: usize, seed: u64) -> Examples {
    let mut numbers = Numbers(seed);
    let values: Vec<f32> = (0..2 * rows).map(|_| numbers.normal() as f32).collect();
    let labels = values.chunks(2).map(|row| f32::from(u8::from(row[0] > 0.0))).collect();
    Examples { columns: 2, values, labels }
}

pub(crate) fn pretrained(seed: u64) -> Arc<Pretrained> {
    let params = MlpClassifierParams::new(&settings(None, true)).unwrap();
    let trained = fit(&params, &examples(200, seed), Training { epochs: 10, seed }).unwrap();
    let features = vec!["a".to_owned(), "b".to_owned()];
    Arc::new(Pretrained { version: format!("v{seed}"), hash: seed.to_string(), features, trained })
}

pub(crate) fn classifier(pretrained: &Arc<Pretrained>, online: bool) -> MlpClassifier {
    let params = MlpClassifierParams::new(&settings(Some(Arc::clone(pretrained)), online)).unwrap();
    MlpClassifier::new("predict.test", params, vec![columns().iter().cloned().enumerate().collect()])
}

pub(crate) fn columns() -> Arc<[FeatureColumn]> {
    ["a", "b"]
        .map(|name| FeatureColumn { name: name.to_owned(), kind: ColumnKind::OwnUnit, horizon_steps: None })
        .into()
}

pub(crate) fn matrix(step: i64) -> (FeatureMatrix, Vec<f64>) {
    let rows = examples(4, 1000 + step as u64);
    let values = rows.values.iter().map(|value| f64::from(*value)).collect();
    let features = FeatureMatrix { end: EventTime(step), columns: columns(), rows: 4, values };
    (features, rows.labels.iter().map(|label| f64::from(*label)).collect())
}

pub(crate) fn probabilities(model: &MlpClassifier, features: &FeatureMatrix) -> Vec<f64> {
    let mut made = vec![vec![f64::NAN; features.rows]];
    model.predict_many(features, &mut made);
    made.swap_remove(0)
}

#[test]
fn trained_network_predicts_at_once_and_learns_only_where_it_is_let() {
    let first = pretrained(1);
    let (mut frozen, mut online) = (classifier(&first, false), classifier(&first, true));
    let (features, _) = matrix(0);
    let expected = {
        let values = features.values.iter().map(|value| *value as f32).collect();
        first.trained.predict(&Examples { columns: 2, values, labels: vec![0.0; 4] })
    };
    assert_eq!(probabilities(&frozen, &features), expected);
    assert_eq!(probabilities(&online, &features), expected);
    for step in 1..30 {
        let (features, labels) = matrix(step);
        frozen.learn_many(0, &features, &labels);
        online.learn_many(0, &features, &labels);
    }
    assert_eq!(probabilities(&frozen, &features), expected);
    assert_ne!(probabilities(&online, &features), expected);
    let mut state = MemoryState::default();
    frozen.snapshot(Snapshot::Full, &mut state);
    assert!(state.blocks.is_empty(), "what does not change is no state");
}

#[test]
fn first_labels_all_of_one_class_do_not_turn_a_trained_network() {
    let loss = |model: &MlpClassifier| {
        let mut sum = 0.0;
        for step in 500..550 {
            let (features, labels) = matrix(step);
            let made = probabilities(model, &features);
            let costs = made.iter().zip(&labels).map(|(one, label)| -(1.0 - (label - one).abs()).max(1e-9).ln());
            sum += costs.sum::<f64>() / 200.0;
        }
        sum
    };
    let first = pretrained(1);
    let mut model = classifier(&first, true);
    let before = loss(&model);
    let frozen = probabilities(&model, &matrix(0).0);
    let mut taken = 0;
    for (features, labels) in (0..).map(matrix) {
        let of_one: Vec<f64> = labels.iter().map(|&label| if label > 0.5 { label } else { f64::NAN }).collect();
        model.learn_many(0, &features, &of_one);
        taken = model.version(0);
        if taken < 20 {
            assert_eq!(probabilities(&model, &matrix(0).0), frozen, "it waits for `min_labels`: {taken}");
        } else {
            break;
        }
    }
    assert!(taken < 24);
    assert_ne!(probabilities(&model, &matrix(0).0), frozen, "it learns then");
    let after = loss(&model);
    assert!(after < 1.1 * before, "{after} where it was {before}");
}

#[test]
fn network_that_learned_on_is_as_it_was_trained_once_it_is_frozen() {
    let first = pretrained(1);
    let mut online = classifier(&first, true);
    for step in 0..30 {
        let (features, labels) = matrix(step);
        online.learn_many(0, &features, &labels);
    }
    let mut state = MemoryState::default();
    online.snapshot(Snapshot::Changed, &mut state);
    let (features, labels) = matrix(100);
    let mut frozen = classifier(&first, false);
    frozen.restore(&state).unwrap();
    assert_eq!((frozen.version(0), frozen.dropped()), (0, online.version(0)));
    let expected = probabilities(&classifier(&first, false), &features);
    assert_eq!(probabilities(&frozen, &features), expected);
    assert_ne!(probabilities(&online, &features), expected);
    frozen.learn_many(0, &features, &labels);
    // The next commit says that there is no such state any more; one that may learn again begins from the version.
    frozen.snapshot(Snapshot::Changed, &mut state);
    assert!(state.blocks.is_empty(), "{:?}", state.blocks.keys());
    let mut again = classifier(&first, true);
    again.restore(&state).unwrap();
    assert_eq!((probabilities(&again, &features), again.version(0), again.dropped()), (expected, 0, 0));
}

#[test]
fn another_version_takes_over_at_a_start_and_the_same_goes_on_with_what_it_learned() {
    let (first, second) = (pretrained(1), pretrained(2));
    let mut model = classifier(&first, true);
    for step in 0..30 {
        let (features, labels) = matrix(step);
        model.learn_many(0, &features, &labels);
    }
    let mut state = MemoryState::default();
    model.snapshot(Snapshot::Full, &mut state);
    let (features, labels) = matrix(100);
    let mut same = classifier(&first, true);
    same.restore(&state).unwrap();
    assert_eq!(probabilities(&same, &features), probabilities(&model, &features));
    let mut other = classifier(&second, true);
    other.restore(&state).unwrap();
    assert_eq!(probabilities(&other, &features), probabilities(&classifier(&second, true), &features));
    assert_eq!(other.version(0), model.version(0), "labels that were seen stay seen");
    other.learn_many(0, &features, &labels);
    let mut after = MemoryState::default();
    other.snapshot(Snapshot::Full, &mut after);
    let mut restored = classifier(&second, true);
    restored.restore(&after).unwrap();
    assert_eq!(probabilities(&restored, &features), probabilities(&other, &features));
}

#[test]
fn network_is_the_same_out_of_its_bytes_and_foreign_bytes_are_refused() {
    let trained = &pretrained(3).trained;
    let bytes = tensors::to_bytes(trained).unwrap();
    assert_eq!(&tensors::from_bytes(&bytes).unwrap(), trained);
    for end in [0, 4, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(tensors::from_bytes(&bytes[..end]).is_err(), "{end}");
    }
    assert!(tensors::from_bytes(b"not a network").is_err());
    let store = Store::new(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("trained-none"));
    assert!(matches!(store.load(Version(1)), Err(StoreError::Missing { .. })));
    assert_eq!(store.champion().unwrap(), None);
    assert!("3".parse::<Version>().is_err() && "v0".parse::<Version>().is_err() && "v03".parse::<Version>().is_err());
}

#[test]
fn folds_hold_every_row_once_and_both_classes_alike() {
    let labels: Vec<f32> = (0..103).map(|row| f32::from(u8::from(row % 4 == 0))).collect();
    let folds = folds(&labels, 5, 9);
    let mut all: Vec<usize> = folds.concat();
    all.sort_unstable();
    assert_eq!(all, (0..103).collect::<Vec<_>>());
    for fold in &folds {
        let positives = fold.iter().filter(|&&row| labels[row] > 0.5).count();
        assert!((20..=21).contains(&fold.len()) && (5..=6).contains(&positives), "{fold:?}");
    }
    let evaluation = Evaluation::of(&[0.9, 0.2, 0.6, 0.6], &[1.0, 0.0, 1.0, 0.0], 0.5);
    assert_eq!((evaluation.auc, evaluation.accuracy, evaluation.recall), (Some(0.875), 0.75, Some(1.0)));
}
