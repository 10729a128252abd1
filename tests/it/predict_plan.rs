//! Plans of predictors: every mistake is reported at its place.

use arterial::stages::predict::{ExpertSettings, ModelSettings, PredictError};

use crate::predict_support::{SIZE, city_model, columns, settings, try_plan};

#[test]
fn plan_reports_every_problem_with_its_place_and_a_hint() {
    let columns = columns(2, &["speed.profile"]);
    let mut wrong = settings(&[3, 3], city_model());
    wrong.target = "sped".to_owned();
    wrong.horizons_micros.push(SIZE / 2);
    wrong.features = Some(vec!["speed.*".to_owned(), "flow.*".to_owned(), "speed.profil".to_owned()]);
    wrong.minimum = Some(5.0);
    wrong.maximum = Some(5.0);
    wrong.profile.slot_micros = 7 * SIZE;
    wrong.min_history_micros = -SIZE;
    let mut carried = settings(&[1], city_model());
    carried.name = "flow".to_owned();
    carried.path.0.pop();
    carried.path = carried.path.key("flow");
    carried.target = "free_flow".to_owned();
    let mut model = settings(&[1], city_model());
    model.name = "third".to_owned();
    let ModelSettings::One(ExpertSettings::OnlineLinear(linear)) = &mut model.model else {
        panic!("{:?}", model.model)
    };
    linear.forgetting = 1.5;
    let mut unstarted = settings(&[1], city_model());
    unstarted.name = "fourth".to_owned();
    unstarted.features = Some(vec!["speed.profile".to_owned()]);
    let problems = try_plan(&[wrong, carried, model, unstarted], &columns).unwrap_err();
    let shown: Vec<String> =
        problems.iter().map(|at| format!("{} | {}", at, at.hint.clone().unwrap_or_default())).collect();
    let expected = [
        "predict.speed.target: unknown target `sped`: the window has no such column | did you mean `speed`?",
        "predict.speed.horizons[1]: horizon 900 s does not exceed the one before it | ",
        "predict.speed.horizons[2]: horizon 150 s is not a positive whole multiple of the 300 s from window to window | ",
        "predict.speed.features[1]: `flow.*` matches no feature column | ",
        "predict.speed.features[2]: `speed.profil` matches no feature column | did you mean `speed.profile`?",
        "predict.speed.min_history: min_history of -1 windows is outside 0 to 20000 | ",
        "predict.speed.minimum: minimum 5 and maximum 5 leave no room for a forecast | ",
        "predict.speed.baselines.slot: slot of 2100 s does not divide a day | ",
        "predict.flow.target: target `free_flow` is carried along, not measured: it gives no labels | name a column under `window.columns`",
        "predict.speed.model.online_linear.forgetting: forgetting 1.5 lies outside 0 (exclusive) to 1 | ",
        "predict.speed.min_history: a model that starts at persistence needs the target's own last value among its features | add `lags` of the target to `features`, or give `min_history` and `start: least_squares`",
    ];
    assert_eq!(shown, expected);
    assert!(matches!(problems[8].error, PredictError::CarriedTarget { .. }));
}
