//! `arterial train` of networks of forecasts, and pipelines that start from what it made.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arterial::spec::{PipelineFile, PipelinePlan, Registry};
use serde_json::Value;

use crate::run_support::{Ends, run};

/// The simulated corridor, whose detectors share a network that is trained before.
const PIPELINE: &str = r#"
version: 1
pipeline: corridor
sources:
  loops:
    simulate: { detectors: 8, length: 3d, partitions: 2 }
    decode: { schema: traffic-observation.v1 }
    partitioned_by: sensor_id
    event_time: { column: observed_at, stamps: end, interval: 60s, max_delay: 60s }
window: { size: 5m, key: [sensor_id], columns: { speed_kmh: avg(speed_kmh), flow_veh_h: avg(flow_veh_h) } }
features:
  - lags: { column: speed_kmh, count: 3, fill: last }
  - profile: { column: speed_kmh, at: target }
predict:
  speed:
    target: speed_kmh
    horizons: [15m, 30m]
    min_history: 1h
    model: { mlp: { slot: 30m, width: 12, blocks: 1, batch: 64, learning_rate: 0.01, dropout: 0, artefact: model } }
alerts:
  slow: { measure: speed.15m, when: "< 60", clear: "> 70", summary: "slow at {sensor_id}" }
sinks:
  forecasts: { from: forecasts, memory: {} }
delivery: at_least_once
"#;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("trained-pipelines-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("corridor.yaml"), PIPELINE).unwrap();
    folder
}

/// The pipeline with each first part, which stands once, replaced by the second.
fn write(folder: &Path, edits: &[(&str, &str)]) {
    let mut text = PIPELINE.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(folder.join("corridor.yaml"), text).unwrap();
}

fn arterial(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    command.current_dir(folder).env("ARTERIAL_LOG", "warn").args(arguments).output().expect("it runs")
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = arterial(folder, arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = arterial(folder, arguments);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
    err
}

/// Of three days more than one is held out.
fn trained(folder: &Path, more: &[&str]) -> Value {
    let arguments = [&["train", "--format", "json", "--hold-out", "0.4", "corridor.yaml"], more].concat();
    serde_json::from_str(&done(folder, &arguments)).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

fn mean_mae(errors: &Value) -> f64 {
    let errors = errors.as_array().unwrap();
    errors.iter().map(|one| number(&one["mae"])).sum::<f64>() / errors.len() as f64
}

#[test]
fn network_is_measured_on_later_forecasts_and_a_pipeline_forecasts_the_same_from_the_start() {
    let folder = folder("serves");
    let card = trained(&folder, &[]);
    assert_eq!((&card["version"], &card["model"], &card["keys"]), (&"v1".into(), &"mlp".into(), &8.into()), "{card}");
    assert_eq!(card["network"]["horizons"], serde_json::json!(["15m", "30m"]));
    assert!(card["data_to"].as_str() < card["hold_out_from"].as_str(), "{card}");
    let besides: Vec<&str> =
        card["beside"].as_array().unwrap().iter().map(|one| one["model"].as_str().unwrap()).collect();
    assert_eq!(besides, ["persistence", "profile"]);
    for beside in card["beside"].as_array().unwrap() {
        assert_eq!(beside["hold_out"][0]["count"], card["hold_out"][0]["count"], "the same labels");
        assert!(mean_mae(&card["hold_out"]) < mean_mae(&beside["hold_out"]), "{card}");
    }
    assert_eq!(card["network"]["anchors"][1], serde_json::json!(["speed_kmh.lag0", "speed_kmh.profile"]));
    // Nothing serves yet: it would learn from nothing, and that is no mistake.
    done(&folder, &["validate", "corridor.yaml"]);
    assert!(done(&folder, &["models", "promote", "model", "v1"]).contains("v1 serves"));
    let from = card["hold_out_from"].as_str().unwrap();
    // Labels of the last rows are later than the rows, and were learned all the same.
    let warned = |from: &str| {
        let output = arterial(&folder, &["eval", "--from", from, "corridor.yaml"]);
        String::from_utf8_lossy(&output.stderr).contains("of the labels scored are of times before")
    };
    write(&folder, &[("artefact: model", "artefact: model, online: false")]);
    assert!(warned(card["data_to"].as_str().unwrap()) && !warned(from));
    for partitions in ["partitions: 2", "partitions: 5"] {
        write(&folder, &[("artefact: model", "artefact: model, online: false"), ("partitions: 2", partitions)]);
        let eval = ["eval", "--format", "json", "--from", from, "corridor.yaml"];
        let eval: Value = serde_json::from_str(&done(&folder, &eval)).unwrap();
        let own: Vec<&Value> = eval["scores"].as_array().unwrap().iter().filter(|one| one["model"] == "mlp").collect();
        for (score, held_out) in own.iter().zip(card["hold_out"].as_array().unwrap()) {
            assert_eq!(score["count"], held_out["count"]);
            for measure in ["mae", "rmse"] {
                let gap = number(&score[measure]) - number(&held_out[measure]);
                assert!(gap.abs() < 1e-5, "{partitions}: {score} where training said {held_out}");
            }
        }
        assert_eq!(own.len(), 2);
    }
    write(&folder, &[]);
    let again = trained(&folder, &[]);
    assert_eq!(again["beside"][2]["model"], "v1", "measured beside the version that serves");
    assert_eq!(again["beside"][2]["hold_out"], card["hold_out"]);
    assert_eq!((&again["model_hash"], &again["data_hash"]), (&card["model_hash"], &card["data_hash"]));
    let text = done(&folder, &["train", "corridor.yaml"]);
    assert!(
        text.contains("of 8 keys") && text.contains("MAE 15m") && text.contains("models promote model v3"),
        "{text}"
    );
    assert!(text.contains("Both stood still: what v1 has learned on while it serves"), "{text}");
    assert!(done(&folder, &["models", "ls", "model"]).contains("MAE"));
    assert!(done(&folder, &["models", "diff", "model", "v1", "v2"]).contains("beside"));
}

#[test]
fn worse_network_is_not_promoted_and_one_of_something_else_is_refused() {
    let folder = folder("gate");
    trained(&folder, &["--promote"]);
    write(&folder, &[("learning_rate: 0.01", "learning_rate: 0.000001")]);
    let card = trained(&folder, &["--epochs", "1"]);
    assert!(mean_mae(&card["hold_out"]) > mean_mae(&card["beside"][2]["hold_out"]), "{card}");
    let err = refused(&folder, &["models", "promote", "model", "v2"], 1);
    assert!(err.contains("v2 is not promoted: on the rows held out its MAE by key is") && err.contains("that of v1"));
    let arguments = ["train", "--models", "other", "--promote", "--epochs", "1", "--hold-out", "0.4", "corridor.yaml"];
    assert!(refused(&folder, &arguments, 1).contains("v1 is not promoted: on the rows held out its MAE by key is"));
    write(&folder, &[("horizons: [15m, 30m]", "horizons: [15m, 45m]")]);
    let err = refused(&folder, &["validate", "corridor.yaml"], 78);
    assert!(err.contains("trained network v1 does not fit: it has horizons 15m, 30m; the predictor 15m, 45m"), "{err}");
    assert!(err.contains("arterial train"), "{err}");
    // It can be trained all the same, but not be measured beside what serves.
    let card = trained(&folder, &[]);
    assert_eq!(card["beside"].as_array().unwrap().len(), 2);
    assert!(refused(&folder, &["models", "promote", "model", "v3"], 1).contains("not measured beside v1"));
    write(&folder, &[]);
    let card = folder.join("model/v1/card.json");
    let text = std::fs::read_to_string(&card).unwrap();
    let other = text.replace("\"key\": [\n    \"sensor_id\"", "\"key\": [\n    \"segment_id\"");
    assert_ne!(other, text);
    std::fs::write(&card, other).unwrap();
    let err = refused(&folder, &["validate", "corridor.yaml"], 78);
    assert!(err.contains("it knows keys of `segment_id`; the windows are of `sensor_id`"), "{err}");
    std::fs::write(&card, text).unwrap();
    write(&folder, &[(", artefact: model", ", online: false")]);
    assert!(refused(&folder, &["validate", "corridor.yaml"], 78).contains("`online: false` without `artefact`"));
    assert!(refused(&folder, &["train", "corridor.yaml"], 2).contains("nowhere to put the version"));
    write(&folder, &[]);
    assert!(refused(&folder, &["train", "--folds", "4", "corridor.yaml"], 2).contains("held out by time"));
    let classes = folder.join("model/v4");
    std::fs::create_dir(&classes).unwrap();
    let card = std::fs::read_to_string(folder.join("model/v1/card.json")).unwrap();
    std::fs::write(classes.join("card.json"), card.replace("\"model\": \"mlp\"", "\"model\": \"gru\"")).unwrap();
    assert!(refused(&folder, &["train", "corridor.yaml"], 1).contains("card.json` is damaged: unknown variant `gru`"));
    std::fs::remove_dir_all(&classes).unwrap();
    let weights = folder.join("model/v1/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let err = refused(&folder, &["validate", "corridor.yaml"], 78);
    assert!(
        err.contains("model.safetensors` is damaged: its hash is") && err.contains("corridor.yaml:19:108"),
        "{err}"
    );
}

/// The card of a version with numbers that it was not given.
fn recarded(folder: &Path, version: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join("model").join(version).join("card.json");
    let mut card: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut card);
    std::fs::write(path, serde_json::to_vec_pretty(&card).unwrap()).unwrap();
}

#[test]
fn version_that_is_better_in_the_mean_and_worse_at_one_horizon_is_not_promoted() {
    let folder = folder("one-horizon");
    for more in [["--epochs", "5", "--promote"].as_slice(), &["--epochs", "5"]] {
        trained(&folder, more);
    }
    // Equal networks are equal at every key.
    let path = folder.join("model/v2/card.json");
    let card: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (one, horizon) in card["beside"][2]["by_key"].as_array().unwrap().iter().zip(["15m", "30m"]) {
        assert_eq!(*one, serde_json::json!({ "horizon": horizon, "keys": 8, "own": 1.0, "other": 1.0 }));
    }
    recarded(&folder, "v2", |card| {
        let by_key = &mut card["beside"][2]["by_key"];
        (by_key[0]["other"], by_key[1]["own"]) = (0.95.into(), 0.8.into());
    });
    let err = refused(&folder, &["models", "promote", "model", "v2"], 1);
    assert!(err.contains("its MAE by key at 15m is 1.0000, that of v1 0.9500"), "{err}");
    recarded(&folder, "v2", |card| card["beside"][2]["by_key"][0]["other"] = 1.0.into());
    assert!(done(&folder, &["models", "promote", "model", "v2"]).contains("v2 serves, where v1 did"));
}

#[test]
fn version_that_was_measured_on_a_handful_of_labels_serves_only_where_somebody_says_why() {
    let folder = folder("handful");
    let output = arterial(&folder, &["train", "--epochs", "5", "corridor.yaml"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("v1 cannot serve by this: too little was held out"), "{told}");
    let err = refused(&folder, &["models", "promote", "model", "v1"], 1);
    assert!(err.contains("v1 is not promoted: too little was held out") && err.contains("less than a day"), "{err}");
    trained(&folder, &["--epochs", "5"]);
    let few = |card: &mut Value| card["hold_out"][1]["count"] = 99.into();
    recarded(&folder, "v2", few);
    let err = refused(&folder, &["models", "promote", "model", "v2"], 1);
    assert!(err.contains("99 labels at 30m, fewer than 100") && err.contains("--uncompared"), "{err}");
    let forced = ["models", "promote", "model", "v2", "--uncompared", "--reason", "a trial"];
    assert!(done(&folder, &forced).contains("v2 serves"));
    // Beside one that serves it is the same, measured or not.
    trained(&folder, &["--epochs", "5"]);
    recarded(&folder, "v3", few);
    assert!(refused(&folder, &["models", "promote", "model", "v3"], 1).contains("99 labels at 30m"));
    let forced = ["models", "promote", "model", "v3", "--uncompared", "--reason", "a trial"];
    assert!(done(&folder, &forced).contains("v3 serves, where v2 did"));
}

fn plan(folder: &Path) -> PipelinePlan {
    let text = std::fs::read_to_string(folder.join("corridor.yaml")).unwrap();
    let file = PipelineFile::parse("corridor.yaml", &text, &|_| None, &Registry::standard());
    let plan = file.plan(folder, &[].into()).unwrap_or_else(|problems| panic!("{problems}"));
    // The readings go on where a run ends.
    plan.with_open_end()
}

/// Forecasts in the order of their partitions: times, keys, values and what made them.
fn forecasts(ends: &Ends) -> Vec<String> {
    let records = ends.broker.committed_records("forecasts").unwrap();
    records.iter().map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap()).into_owned()).collect()
}

#[test]
fn run_that_was_stopped_goes_on_alike_and_a_newer_version_takes_over_at_a_start() {
    let folder = folder("goes-on");
    // Eight detectors are learned; the runs have sixteen.
    trained(&folder, &["--epochs", "5", "--promote"]);
    let sinks = ["forecasts", "control"];
    let (whole, parts) = (Ends::with_sinks(6, &sinks), Ends::with_sinks(3, &sinks));
    let expected = run(plan(&folder), &whole).result.unwrap();
    run(plan(&folder), &parts).result.unwrap();
    let longer = Ends { hours: 6, ..parts.clone() };
    let came = run(plan(&folder), &longer).result.unwrap();
    assert_eq!(came.digest(), expected.digest());
    let mut both = [forecasts(&whole), forecasts(&longer)];
    both.iter_mut().for_each(|all| all.sort());
    assert_eq!(both[0], both[1]);
    assert!(both[0].iter().all(|forecast| forecast.contains("\"model_version\":\"speed@v1+")), "{}", both[0][0]);
    trained(&folder, &[]);
    // Which of two is better on so few hours is chance; this one is to be.
    recarded(&folder, "v2", |card| {
        card["beside"][2]["by_key"].as_array_mut().unwrap().iter_mut().for_each(|one| one["own"] = 0.0.into());
    });
    done(&folder, &["models", "promote", "model", "v2"]);
    let before = forecasts(&longer).len();
    run(plan(&folder), &Ends { hours: 7, ..longer.clone() }).result.unwrap();
    let later = forecasts(&longer).split_off(before);
    assert!(!later.is_empty() && later.iter().all(|forecast| forecast.contains("\"model_version\":\"speed@v2+")));
}

#[test]
fn network_that_learned_on_serves_its_version_again_once_it_is_frozen() {
    let folder = folder("frozen");
    trained(&folder, &["--epochs", "5", "--promote"]);
    let ends = Ends::with_sinks(3, &["forecasts", "control"]);
    run(plan(&folder), &ends).result.unwrap();
    let learned = forecasts(&ends);
    assert!(learned.iter().all(|forecast| forecast.contains("\"model_version\":\"speed@v1+")), "{}", learned[0]);
    write(&folder, &[("artefact: model", "artefact: model, online: false")]);
    run(plan(&folder), &Ends { hours: 4, ..ends.clone() }).result.unwrap();
    let frozen = forecasts(&ends).split_off(learned.len());
    let of_v1 = |forecast: &String| forecast.contains("\"model_version\":\"speed@v1+0\"");
    assert!(!frozen.is_empty() && frozen.iter().all(of_v1), "{frozen:?}");
}

#[test]
fn network_gets_its_artefact_later_or_elsewhere_and_is_not_started_without_it() {
    let folder = folder("later");
    trained(&folder, &["--epochs", "5", "--promote"]);
    let ends = Ends::with_sinks(3, &["forecasts", "control"]);
    write(&folder, &[(", artefact: model", "")]);
    run(plan(&folder), &ends).result.unwrap();
    assert!(forecasts(&ends).iter().all(|forecast| forecast.contains("\"model_version\":\"speed@")));
    let made = |hours: i64| {
        let before = forecasts(&ends).len();
        run(plan(&folder), &Ends { hours, ..ends.clone() }).result?;
        Ok::<_, arterial::runtime::PipelineError>(forecasts(&ends).split_off(before))
    };
    let of_v1 = |made: &[String]| {
        !made.is_empty() && made.iter().all(|forecast| forecast.contains("\"model_version\":\"speed@v1+"))
    };
    write(&folder, &[]);
    assert!(of_v1(&made(4).unwrap()), "it goes on from the version that is there now");
    std::fs::rename(folder.join("model"), folder.join("moved")).unwrap();
    // Not mounted, as it were.
    let refused = format!("{:?}", made(5).unwrap_err());
    assert!(refused.contains("went on from trained network v1"), "{refused}");
    write(&folder, &[("artefact: model", "artefact: moved")]);
    assert!(of_v1(&made(5).unwrap()), "where the folder lies is no part of the state");
}

#[test]
fn network_of_a_challenger_is_trained_by_its_name_and_the_own_one_without() {
    let folder = folder("challenger");
    let own = "    model: { mlp: { slot: 30m, width: 12, blocks: 1, batch: 64, learning_rate: 0.01, dropout: 0, artefact: model } }\n";
    let challenger =
        "    challengers: { narrow: { mlp: { slot: 30m, width: 8, blocks: 1, batch: 64, artefact: other } } }\n";
    write(&folder, &[(own, &format!("{own}{challenger}"))]);
    trained(&folder, &["--predictor", "speed", "--epochs", "1"]);
    assert!(folder.join("model/v1/card.json").exists() && !folder.join("other").exists());
    trained(&folder, &["--challenger", "narrow", "--epochs", "1"]);
    assert!(folder.join("other/v1/card.json").exists());
    let several = refused(&folder, &["train", "corridor.yaml"], 2);
    assert!(several.contains("--predictor speed; --predictor speed --challenger narrow"), "{several}");
    write(&folder, &[(own, "    model: { online_linear: { scale: 10 } }\n")]);
    let none = refused(&folder, &["train", "corridor.yaml"], 2);
    assert!(none.contains("the pipeline has no network to train"), "{none}");
}
