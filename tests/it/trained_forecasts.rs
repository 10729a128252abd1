//! Networks of forecasts that were trained before: their bytes, the keys that they know by name, and how they go on learning.

use std::sync::Arc;

use arterial::models::{mlp_tensors, tensors};
use arterial::stages::predict::neural::fit::Training;
use arterial::stages::predict::neural::mlp_fit::{MlpExamples, MlpFitError, fit_mlp};
use arterial::stages::predict::neural::params::MlpParams;
use arterial::stages::predict::neural::{MlpPredictor, MlpStart, PretrainedMlp, TrainedMlp};
use arterial::stages::predict::trainable::TrainableNetwork;
use arterial::stages::predict::{
    ExpertSettings, KeyNames, Loss, MlpSettings, ModelSettings, OnlinePredictor, Predict, PredictPlan, Predictor,
    PredictorSettings,
};
use arterial::vocab::{EventTime, KeyId, Snapshot};

use crate::mlp::{mlp_params, network};
use crate::predict_support::{
    Feed, MemoryState, Numbers, SIZE, bits, city_model, columns, full, plan, settings, try_plan,
};
use crate::predictor_checks::{FEATURES, feature_columns, forecasts, learn, sample, state};

/// What keys are called by id.
#[derive(Debug)]
struct Names(Vec<Option<&'static str>>);

impl KeyNames for Names {
    fn name(&self, key: KeyId) -> Option<&str> {
        self.0.get(key as usize).copied().flatten()
    }
}

/// Rows of these keys, whose labels differ by 4 from key to key.
fn examples(names: &[&str], steps: i64) -> MlpExamples {
    let mut rows = MlpExamples {
        columns: FEATURES,
        horizons: 2,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..MlpExamples::default()
    };
    for step in 0..steps {
        let (features, labels) = sample(names.len(), step, 0.1);
        for key in 0..names.len() as KeyId {
            rows.ends.push(EventTime(step * SIZE));
            rows.keys.push(key);
            rows.values.extend(features.row(key).iter().map(|value| *value as f32));
            let label = labels[key as usize] as f32 + 4.0 * key as f32;
            rows.labels.extend([label, if step % 3 == 0 { f32::NAN } else { label }]);
        }
    }
    rows
}

fn params() -> MlpParams {
    mlp_params(&network(Loss::Absolute), FEATURES, vec![0])
}

pub(crate) fn trained(seed: u64) -> TrainedMlp {
    fit_mlp(&params(), &examples(&["a", "b", "c", "d"], 150), Training { epochs: 30, seed }, |_| {}).unwrap()
}

pub(crate) fn pretrained(trained: TrainedMlp) -> Arc<PretrainedMlp> {
    let hash = blake3::hash(&mlp_tensors::to_bytes(&trained).unwrap()).to_string();
    let shape = arterial::stages::predict::neural::MlpShape::new(&params(), &feature_columns());
    Arc::new(PretrainedMlp { version: "v1".to_owned(), hash, key: vec!["sensor_id".to_owned()], shape, trained })
}

fn predictor(pretrained: &Arc<PretrainedMlp>, frozen: bool) -> MlpPredictor {
    let start = MlpStart { pretrained: Some(Arc::clone(pretrained)), frozen };
    MlpPredictor::new("predict.test", MlpParams { start, ..params() }, feature_columns().to_vec())
}

/// Learns these windows, of keys with names.
fn go_on(model: &mut MlpPredictor, names: &Names, steps: std::ops::Range<i64>) {
    for step in steps {
        let (features, labels) = sample(4, step, 0.1);
        model.grow(4);
        model.meet_keys(names);
        learn(model, &features, &labels);
    }
}

#[test]
fn network_is_trained_to_the_same_twice_and_tells_its_keys_apart() {
    let mut epochs = Vec::new();
    let rows = examples(&["a", "b", "c", "d"], 150);
    let first = fit_mlp(&params(), &rows, Training { epochs: 30, seed: 7 }, |epoch| epochs.push(epoch)).unwrap();
    assert_eq!(epochs, (1..=30).collect::<Vec<_>>());
    assert_eq!(first, trained(7));
    assert_ne!(first, trained(8));
    let made = first.forecast(&params(), &rows);
    let errors = made.iter().zip(&rows.labels).filter(|(_, label)| label.is_finite());
    let errors: Vec<f64> = errors.map(|(made, label)| (made - f64::from(*label)).abs()).collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    // Without the keys it would be off by 4 in the mean.
    assert!(mean < 1.0, "{mean}");
    let few = fit_mlp(&params(), &examples(&["a"], 1), Training { epochs: 1, seed: 1 }, |_| {});
    assert_eq!(few.unwrap_err(), MlpFitError::NoLabels { labels: 1 });
}

#[test]
fn what_was_known_before_a_time_holds_no_label_of_that_time() {
    let rows = examples(&["a", "b"], 10);
    let micros = [SIZE, 3 * SIZE];
    let known = rows.before(EventTime(6 * SIZE), &micros);
    for row in 0..known.len() {
        let (end, labels) = (known.ends[row], known.labels(row));
        let too_late =
            labels.iter().zip(micros).any(|(label, micros)| label.is_finite() && end.plus(micros).0 >= 6 * SIZE);
        assert!(!too_late && labels.iter().any(|label| label.is_finite()), "{end}");
    }
    assert_eq!(known.ends.iter().max(), Some(&EventTime(4 * SIZE)));
    assert_eq!(known.hash(), rows.before(EventTime(6 * SIZE), &micros).hash());
    assert_ne!(known.hash(), rows.before(EventTime(7 * SIZE), &micros).hash());
    let late_key =
        MlpExamples { keys: rows.keys.iter().enumerate().map(|(row, _)| u32::from(row > 12)).collect(), ..rows };
    let known = late_key.before(EventTime(4 * SIZE), &micros);
    assert_eq!((known.names, known.keys.iter().max()), (vec!["a".to_owned()], Some(&0)), "names have rows");
}

#[test]
fn forecasts_are_the_trained_networks_whatever_ids_its_keys_have() {
    let pretrained = pretrained(trained(7));
    let (features, _) = sample(4, 5_000, 0.1);
    // `x` was not there when it was trained: it is as all are.
    let rows = MlpExamples {
        columns: FEATURES,
        horizons: 2,
        names: ["a", "b", "d", "x"].map(str::to_owned).to_vec(),
        ends: vec![features.end; 4],
        keys: vec![2, 3, 0, 1],
        values: features.values.iter().map(|value| *value as f32).collect(),
        labels: vec![f32::NAN; 8],
    };
    let expected = pretrained.trained.forecast(&params(), &rows);
    for frozen in [true, false] {
        let mut model = predictor(&pretrained, frozen);
        model.grow(4);
        model.meet_keys(&Names(vec![Some("d"), Some("x"), Some("a"), Some("b")]));
        let made = forecasts(&model, &features);
        let made: Vec<f64> = (0..4).flat_map(|key| [made[0][key], made[1][key]]).collect();
        assert_eq!(bits(&[made]), bits(std::slice::from_ref(&expected)));
        let mut other = predictor(&pretrained, frozen);
        other.grow(4);
        other.meet_keys(&Names(vec![Some("a"), Some("x"), Some("d"), Some("b")]));
        let other = forecasts(&other, &features);
        assert!((other[0][0] - expected[0]).abs() > 3.0, "`a` is another key than `d`");
        assert_eq!(other[0][1].to_bits(), expected[2].to_bits(), "strangers are alike");
    }
}

#[test]
fn frozen_network_learns_nothing_and_is_no_state() {
    let mut model = predictor(&pretrained(trained(7)), true);
    let (asked, _) = sample(4, 5_000, 0.1);
    let names = Names(vec![Some("a"), Some("b"), Some("c"), Some("d")]);
    model.grow(4);
    model.meet_keys(&names);
    let before = forecasts(&model, &asked);
    for step in 0..30 {
        let (features, labels) = sample(4, step, 0.1);
        learn(&mut model, &features, &labels);
    }
    model.prepare();
    assert_eq!(bits(&forecasts(&model, &asked)), bits(&before));
    assert_eq!(model.version(0), 0);
    assert!(state(&mut model).blocks.is_empty());
}

#[test]
fn network_that_learned_on_is_as_it_was_trained_once_it_is_frozen() {
    let first = pretrained(trained(7));
    let names = Names(vec![Some("c"), Some("a"), Some("x"), None]);
    let mut online = predictor(&first, false);
    for step in 0..40 {
        let (features, labels) = sample(4, step, 0.1);
        online.grow(4);
        online.meet_keys(&names);
        learn(&mut online, &features, &labels);
    }
    let mut saved = MemoryState::default();
    online.snapshot(Snapshot::Changed, &mut saved);
    let (asked, _) = sample(4, 5_000, 0.1);
    let made = |model: &mut MlpPredictor| {
        model.grow(4);
        model.meet_keys(&names);
        bits(&forecasts(model, &asked))
    };
    let (mut frozen, mut fresh) = (predictor(&first, true), predictor(&first, true));
    frozen.restore(&saved).unwrap();
    assert_eq!(made(&mut frozen), made(&mut fresh));
    assert_ne!(made(&mut frozen), made(&mut online));
    let learned = online.version(0) + online.version(1);
    assert_eq!((frozen.version(0), frozen.version(1), frozen.dropped()), (0, 0, learned));
    // The next commit says that there is no such state any more.
    frozen.snapshot(Snapshot::Changed, &mut saved);
    assert!(saved.blocks.is_empty(), "{:?}", saved.blocks.keys());
}

#[test]
fn another_version_takes_over_at_a_start_and_the_same_goes_on_with_what_it_learned() {
    let (first, second) = (pretrained(trained(7)), pretrained(trained(8)));
    let names = Names(vec![Some("c"), Some("a"), Some("x"), None]);
    let mut model = predictor(&first, false);
    go_on(&mut model, &names, 0..40);
    let saved = state(&mut model);
    let mut same = predictor(&first, false);
    same.restore(&saved).unwrap();
    assert_eq!(state(&mut same), saved);
    let mut other = predictor(&second, false);
    other.restore(&saved).unwrap();
    assert_eq!(other.version(0), model.version(0), "labels that were seen stay seen");
    other.meet_keys(&names);
    let mut fresh = predictor(&second, false);
    fresh.grow(4);
    fresh.meet_keys(&names);
    let (asked, _) = sample(4, 5_000, 0.1);
    assert_eq!(bits(&forecasts(&other, &asked)), bits(&forecasts(&fresh, &asked)));
    assert_ne!(bits(&forecasts(&other, &asked)), bits(&forecasts(&model, &asked)));
    go_on(&mut other, &names, 40..60);
    let mut changes = saved.clone();
    other.snapshot(Snapshot::Changed, &mut changes);
    assert_eq!(state(&mut other).blocks, changes.blocks, "changes add up to the state");
    let mut restored = predictor(&second, false);
    restored.restore(&changes).unwrap();
    go_on(&mut other, &names, 60..80);
    go_on(&mut restored, &names, 60..80);
    assert_eq!(state(&mut restored), state(&mut other));
    // No version serves any more: what it learned is not dropped for weights that nobody trained.
    let mut none = MlpPredictor::new("predict.test", params(), feature_columns().to_vec());
    let error = none.restore(&saved).unwrap_err().to_string();
    assert!(error.contains("went on from trained network v1 (blake3 ") && error.contains("`artefact`"), "{error}");
}

#[test]
fn network_that_began_with_nothing_goes_on_from_a_version_that_is_there_later() {
    let names = Names(vec![Some("c"), Some("a"), Some("x"), None]);
    let mut cold = MlpPredictor::new("predict.test", params(), feature_columns().to_vec());
    go_on(&mut cold, &names, 0..40);
    let mut saved = state(&mut cold);
    let first = pretrained(trained(7));
    let (mut warm, mut fresh) = (predictor(&first, false), predictor(&first, false));
    warm.restore(&saved).unwrap();
    warm.meet_keys(&names);
    fresh.grow(4);
    fresh.meet_keys(&names);
    let (asked, _) = sample(4, 5_000, 0.1);
    assert_eq!(bits(&forecasts(&warm, &asked)), bits(&forecasts(&fresh, &asked)));
    assert_eq!(warm.version(0), cold.version(0), "labels that were seen stay seen");
    go_on(&mut warm, &names, 40..60);
    warm.snapshot(Snapshot::Changed, &mut saved);
    assert_eq!(state(&mut warm).blocks, saved.blocks, "changes add up to the state");
}

/// A predictor of lags, and a network of it that was trained on a series like the one it will see.
fn warm(change: fn(&mut MlpSettings)) -> (Arc<PretrainedMlp>, PredictorSettings) {
    let settings = lags(network(Loss::Absolute));
    let open = plan(settings, &columns(3, &[]));
    let found = open.trainable().next().unwrap();
    let TrainableNetwork::Forecasts(mlp) = found.network else { panic!("{found:?}") };
    let mut rows = MlpExamples {
        columns: 3,
        horizons: 2,
        names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        ..MlpExamples::default()
    };
    let mut numbers = Numbers(3);
    for step in 0..60 {
        for key in 0..4 {
            rows.ends.push(EventTime(step * SIZE));
            rows.keys.push(key);
            rows.values.extend((0..3).map(|_| 50.0 + 8.0 * numbers.normal() as f32));
            rows.labels.extend([50.0 + key as f32, 50.0 - key as f32]);
        }
    }
    let trained = fit_mlp(mlp.params, &rows, Training { epochs: 5, seed: 2 }, |_| {}).unwrap();
    let one =
        PretrainedMlp { version: "v4".to_owned(), hash: "4".to_owned(), key: Vec::new(), shape: mlp.shape(), trained };
    let one = Arc::new(one);
    let mut wanted = MlpSettings {
        start: MlpStart { pretrained: Some(Arc::clone(&one)), frozen: false },
        weight_decay: 0.01,
        ..network(Loss::Absolute)
    };
    change(&mut wanted);
    (one, lags(wanted))
}

fn lags(network: MlpSettings) -> PredictorSettings {
    let model = ModelSettings::One(ExpertSettings::Mlp(network));
    PredictorSettings { model, min_history_micros: 24 * SIZE, ..settings(&[1, 3], city_model()) }
}

/// Forecasts and state after some windows; keys come, expire, and their ids are given to others. Learning is done ahead, and the
/// process begun anew, where it is said so.
fn live(
    plan: &Arc<PredictPlan>,
    ahead: fn(usize) -> bool,
    anew: fn(usize) -> bool,
) -> (Vec<Vec<Vec<u64>>>, MemoryState) {
    let (mut predict, mut feed) = (Predict::new(Arc::clone(plan)), Feed::new(3, &columns(3, &[])));
    let (mut numbers, mut made, mut ledger) = (Numbers(5), Vec::new(), MemoryState::default());
    for step in 0..60 {
        let second = match step {
            0..20 => Some("b"),
            20..30 => None,
            _ => Some("d"),
        };
        let names = Names([Some("c"), second, Some("x"), Some("a")][..3 + step / 40].to_vec());
        let values: Vec<f64> = names.0.iter().map(|_| 50.0 + 8.0 * numbers.normal()).collect();
        let (mut window, features) = feed.window(step as i64, &values, &[]);
        if step == 19 {
            window.expired = vec![1];
        }
        let forecasts = predict.step_named(&window, &features, &names).forecasts;
        made.extend(forecasts.iter().map(|forecasts| bits(&forecasts.model)));
        if ahead(step) {
            predict.prepare();
        }
        predict.snapshot(Snapshot::Changed, &mut ledger);
        if anew(step) {
            predict = Predict::new(Arc::clone(plan));
            predict.restore(&ledger).unwrap();
        }
    }
    assert_eq!(full(&mut predict).blocks, ledger.blocks, "changes add up to the state");
    (made, ledger)
}

#[test]
fn warm_start_goes_on_alike_whenever_it_learns_and_however_often_it_is_stopped() {
    let (_, settings) = warm(|_| {});
    let plan = plan(settings, &columns(3, &[]));
    let whole = live(&plan, |_| false, |_| false);
    assert!(whole.0[2][0].iter().all(|bits| f64::from_bits(*bits).is_finite()), "it speaks at once");
    assert_eq!(live(&plan, |_| true, |_| false), whole);
    assert_eq!(live(&plan, |step| step % 2 == 0, |step| step % 7 == 3), whole);
    assert_eq!(live(&plan, |_| true, |_| true), whole);
    let (_, frozen) = warm(|network| network.start.frozen = true);
    let frozen = crate::predict_support::plan(frozen, &columns(3, &[]));
    let whole = live(&frozen, |_| false, |_| false);
    assert_eq!(live(&frozen, |_| true, |step| step % 7 == 3), whole);
}

#[test]
fn predictions_name_the_version_and_another_network_is_refused_with_a_remedy() {
    let (_, settings) = warm(|_| {});
    let columns = columns(3, &[]);
    let fits = try_plan(std::slice::from_ref(&settings), &columns).unwrap();
    assert_eq!(fits.maker(0, 0).trained, ["v4"]);
    let refused = |settings: PredictorSettings| {
        let problems = try_plan(&[settings], &columns).unwrap_err();
        assert!(problems[0].hint.as_ref().unwrap().contains("arterial train"), "{problems:?}");
        problems[0].to_string()
    };
    let head = "predict.speed.model.mlp: trained network v4 does not fit: it";
    let horizons = PredictorSettings { horizons_micros: vec![SIZE, 2 * SIZE], ..settings.clone() };
    assert_eq!(refused(horizons), format!("{head} has horizons 5m, 15m; the predictor 5m, 10m"));
    let features = PredictorSettings { features: Some(vec!["speed.lag0".to_owned()]), ..settings };
    assert_eq!(refused(features), format!("{head} reads speed.lag0, speed.lag1, speed.lag2; the predictor speed.lag0"));
    type Change = fn(&mut MlpSettings);
    let cases: [(Change, &str); 4] = [
        (|one| one.width = 24, "has width 16; the predictor 24"),
        (|one| one.blocks = 3, "has blocks 2; the predictor 3"),
        (|one| one.zone = chrono_tz::Tz::Europe__Copenhagen, "has timezone UTC; the predictor Europe/Copenhagen"),
        (|one| one.anchors = Some(Vec::new()), "has anchors speed.lag0, speed.lag0; the predictor none"),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(warm(change).1), format!("{head} {expected}"));
    }
    let (one, settings) = warm(|_| {});
    let mut damaged = (*one).clone();
    damaged.trained.weights.0[2].rows -= 1;
    let ModelSettings::One(ExpertSettings::Mlp(mut mlp)) = settings.model else { panic!("no network") };
    mlp.start.pretrained = Some(Arc::new(damaged));
    assert!(refused(lags(mlp)).contains("its tensors are"));
}

#[test]
fn network_of_forecasts_is_the_same_out_of_its_bytes_and_foreign_bytes_are_refused() {
    let network = trained(7);
    let bytes = mlp_tensors::to_bytes(&network).unwrap();
    assert_eq!(mlp_tensors::to_bytes(&network).unwrap(), bytes);
    assert_eq!(mlp_tensors::from_bytes(&bytes).unwrap(), network);
    for end in [0, 4, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(mlp_tensors::from_bytes(&bytes[..end]).is_err(), "{end}");
    }
    assert!(tensors::from_bytes(&bytes).is_err(), "it is no network of classes");
    let renamed =
        TrainedMlp { keys: vec!["b".to_owned(), "a".to_owned(), "c".to_owned(), "d".to_owned()], ..network.clone() };
    let error = mlp_tensors::from_bytes(&mlp_tensors::to_bytes(&renamed).unwrap()).unwrap_err().to_string();
    assert!(error.contains("metadata `keys`"), "{error}");
    let mut spoiled = network;
    spoiled.weights.0[0].values[0] = f32::NAN;
    let error = mlp_tensors::from_bytes(&mlp_tensors::to_bytes(&spoiled).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`inputs.weight`"), "{error}");
}
