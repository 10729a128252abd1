//! Champions and challengers: nothing of a challenger is seen before it serves, the better one takes over by the rule and is told,
//! a worse one never does, the file's hand beats the rule, and a restart changes nothing.

use std::collections::BTreeSet;

use arterial::observe::RunEvent;
use arterial::stages::predict::contest::Reason;
use arterial::stages::predict::{
    ComparedBy, ExpertSettings, Forecasts, ModelSettings, OnlineLinearSettings, Predict, PredictorSettings, Promotion,
    PromotionSettings,
};
use arterial::vocab::Snapshot;
use serde_json::Value;

use crate::encode_support::conforms;
use crate::predict_support::{Feed, MemoryState, SIZE, bits, city_model, columns, full, plan, settings, try_plan};
use crate::run_support::{Ends, edited, plan as pipeline, run};

/// Windows of a day.
pub(crate) const DAY: usize = (86_400_000_000 / SIZE) as usize;
const KEYS: usize = 4;

/// The last value as it is: hard to beat by nothing but a model that learns.
pub(crate) fn last_value() -> ModelSettings {
    ModelSettings::One(ExpertSettings::Feature("speed.lag0".to_owned()))
}

pub(crate) fn learning() -> ModelSettings {
    ModelSettings::One(ExpertSettings::OnlineLinear(city_model()))
}

/// A value from hours ago.
pub(crate) fn stale() -> ModelSettings {
    ModelSettings::One(ExpertSettings::Feature("speed.lag5".to_owned()))
}

pub(crate) fn rule() -> PromotionSettings {
    PromotionSettings { by: None, over_micros: 2 * 86_400_000_000, margin: 0.02, min_labels: 100 }
}

pub(crate) fn contest(
    challengers: &[(&str, ModelSettings)],
    promotion: Option<PromotionSettings>,
) -> PredictorSettings {
    let challengers = challengers.iter().map(|(name, model)| ((*name).to_owned(), model.clone())).collect();
    PredictorSettings { challengers, promotion, model: last_value(), ..settings(&[1, 3], city_model()) }
}

#[derive(Debug, Default)]
struct Ran {
    forecasts: Vec<Forecasts>,
    promotions: Vec<Promotion>,
}

/// Speeds that come back to 70: a fifth of the way in each window, which a model can learn.
fn series(steps: usize) -> Vec<Vec<f64>> {
    let mut numbers = crate::predict_support::Numbers(11);
    let mut past = [0.0; KEYS];
    let step = |_| {
        past.iter_mut().for_each(|past| *past = 0.8 * *past + 5.0 * numbers.normal());
        past.iter().map(|deviation| 70.0 + deviation).collect()
    };
    (0..steps).map(step).collect()
}

fn live(predict: &mut Predict, feed: &mut Feed, series: &[Vec<f64>], from: usize, ledger: &mut MemoryState) -> Ran {
    let mut ran = Ran::default();
    for (step, values) in series.iter().enumerate().skip(from) {
        let (window, features) = feed.window(step as i64, values, &[]);
        let made = predict.step(&window, &features);
        ran.forecasts.extend(made.forecasts);
        ran.promotions.extend(made.promotions);
        if step % 7 == 0 {
            predict.snapshot(Snapshot::Changed, ledger);
        }
    }
    ran
}

fn whole(settings: PredictorSettings, days: usize) -> (Ran, Predict) {
    let columns = columns(6, &[]);
    let mut predict = Predict::new(plan(settings, &columns));
    let ran = live(&mut predict, &mut Feed::new(6, &columns), &series(days * DAY + 2), 0, &mut MemoryState::default());
    (ran, predict)
}

fn made(ran: &Ran) -> Vec<Vec<Vec<u64>>> {
    ran.forecasts.iter().map(|forecasts| bits(&forecasts.model)).collect()
}

#[test]
fn challengers_are_scored_on_the_stream_and_nothing_else_of_them_is_seen() {
    let (alone, predict) = whole(contest(&[], None), 3);
    let own = predict.totals();
    let (beside, predict) = whole(contest(&[("learning", learning()), ("stale", stale())], None), 3);
    assert_eq!(made(&alone), made(&beside));
    assert_eq!(beside.promotions, []);
    let totals = predict.totals();
    assert_eq!(totals[..own.len()], own[..]);
    let names: Vec<&str> = totals[own.len()..].iter().map(|total| total.model.as_str()).collect();
    assert_eq!(names, ["learning", "learning", "stale", "stale"]);
    let mae = |model: &str| totals.iter().find(|total| total.model == model).unwrap().sums.mae().unwrap();
    assert!(mae("learning") < mae("feature") && mae("feature") < mae("stale"), "{totals:?}");
}

#[test]
fn challenger_that_was_better_over_the_days_of_the_rule_takes_over_once_and_a_worse_one_never_does() {
    let (ran, predict) = whole(contest(&[("learning", learning()), ("stale", stale())], Some(rule())), 6);
    let [promotion] = ran.promotions.as_slice() else { panic!("{:?}", ran.promotions) };
    assert_eq!((promotion.before.as_str(), promotion.after.as_str()), ("feature", "learning"));
    assert_eq!(promotion.reason, Reason::Better);
    // The first window that ends after two days: that of midnight belongs to the day before.
    assert_eq!(promotion.at.0, (2 * DAY as i64 + 1) * SIZE);
    for (horizon, one) in promotion.comparisons.iter().enumerate() {
        assert_eq!(one.horizon, horizon);
        assert!(one.labels > 1_500 && one.after < 0.98 * one.before, "{one:?}");
    }
    let (champions, after): (Vec<&Forecasts>, Vec<&Forecasts>) =
        ran.forecasts.iter().partition(|forecasts| forecasts.end < promotion.at);
    assert!(champions.iter().all(|forecasts| forecasts.made_by == 0));
    assert!(after.iter().all(|forecasts| forecasts.made_by == 1));
    // What leaves is what that model alone would have forecast.
    let columns = columns(6, &[]);
    let single = PredictorSettings { model: learning(), ..contest(&[], None) };
    let mut alone = Predict::new(plan(single, &columns));
    let ledger = &mut MemoryState::default();
    let alone = live(&mut alone, &mut Feed::new(6, &columns), &series(6 * DAY + 2), 0, ledger);
    let from = champions.len();
    assert_eq!(made(&ran)[from..], made(&alone)[from..]);
    assert_eq!(ran.forecasts.last().unwrap().version, alone.forecasts.last().unwrap().version);
    let why = predict.explain(0, 0, 0).unwrap();
    assert_eq!((why.made_by, why.forecast), (1, ran.forecasts.last().unwrap().model[0][0]));
}

#[test]
fn margin_labels_and_every_horizon_count_before_a_challenger_takes_over() {
    let mut needs = [rule(), rule(), rule()];
    needs[0].margin = 0.9;
    needs[1].min_labels = 1_000_000;
    needs[2].over_micros = 30 * 86_400_000_000;
    for rule in needs {
        let (ran, _) = whole(contest(&[("learning", learning())], Some(rule.clone())), 4);
        assert_eq!(ran.promotions, [], "{rule:?}");
    }
    // Equal models do not take turns, whatever the margin.
    let (ran, _) = whole(contest(&[("same", last_value())], Some(PromotionSettings { margin: 0.0, ..rule() })), 4);
    assert_eq!(ran.promotions, []);
}

#[test]
fn challenger_that_is_better_in_the_mean_and_worse_at_one_horizon_does_not_take_over() {
    // Halfway between the last value and the level of 70: the one is nearer in five minutes, the other in fifteen.
    let columns = columns(6, &["level"]);
    let level = ModelSettings::One(ExpertSettings::Feature("level".to_owned()));
    let mut predict = Predict::new(plan(contest(&[("level", level)], Some(rule())), &columns));
    let mut feed = Feed::new(6, &columns);
    let (mut numbers, mut past) = (crate::predict_support::Numbers(3), [0.0; KEYS]);
    let mut promotions = Vec::new();
    for step in 0..4 * DAY as i64 {
        past.iter_mut().for_each(|past| *past = 0.55 * *past + 5.0 * numbers.normal());
        let values: Vec<f64> = past.iter().map(|deviation| 70.0 + deviation).collect();
        let (window, features) = feed.window(step, &values, &[70.0]);
        promotions.extend(predict.step(&window, &features).promotions);
    }
    assert_eq!(promotions, []);
    let totals = predict.totals();
    let mae = |model: &str, horizon: usize| {
        let of = |total: &&arterial::stages::predict::ScoreTotal| total.model == model;
        totals.iter().filter(of).nth(horizon).unwrap().sums.mae().unwrap()
    };
    let ratio = |horizon| mae("level", horizon) / mae("feature", horizon);
    assert!(ratio(0) > 1.0 && (ratio(0) + ratio(1)) / 2.0 < 0.98, "{} {}", ratio(0), ratio(1));
}

#[test]
fn days_without_labels_do_not_count_and_what_is_known_of_a_model_that_is_gone_is_dropped() {
    let columns = columns(6, &[]);
    let series = series(9 * DAY);
    let mut predict = Predict::new(plan(contest(&[("learning", learning())], Some(rule())), &columns));
    let mut feed = Feed::new(6, &columns);
    let mut promotions = Vec::new();
    // A day and a half, two days of silence, and on.
    let spoken = (0..3 * DAY / 2).chain(7 * DAY / 2..6 * DAY);
    for step in spoken {
        let (window, features) = feed.window(step as i64, &series[step], &[]);
        promotions.extend(predict.step(&window, &features).promotions);
    }
    // Half a day has its part of so few labels; the first window after it ends the silence.
    let [promotion] = promotions.as_slice() else { panic!("{promotions:?}") };
    assert_eq!(promotion.at.0, 7 * DAY as i64 / 2 * SIZE);
    // Another model under a name that was compared before begins with nothing.
    let mut predict = Predict::new(plan(contest(&[("learning", learning()), ("stale", stale())], None), &columns));
    let mut feed = Feed::new(6, &columns);
    live(&mut predict, &mut feed, &series[..DAY + 9], 0, &mut MemoryState::default());
    let state = full(&mut predict);
    let mut without = Predict::new(plan(contest(&[("learning", learning())], None), &columns));
    without.restore(&state).unwrap();
    let (window, features) = feed.window(DAY as i64 + 9, &[70.0; KEYS], &[]);
    without.step(&window, &features);
    let kept = full(&mut without).blocks;
    let text = kept.iter().find(|((step, _), _)| step == "contest.speed.days").unwrap().1;
    let holds = |name: &str| text.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(holds("learning") && !holds("stale"));
}

/// Promotions where only these windows come.
fn with_gaps(rule: PromotionSettings, spoken: impl Iterator<Item = usize>) -> Vec<Promotion> {
    let columns = columns(6, &[]);
    let series = series(20 * DAY);
    let mut predict = Predict::new(plan(contest(&[("learning", learning())], Some(rule)), &columns));
    let mut feed = Feed::new(6, &columns);
    let step = |step: usize| {
        let (window, features) = feed.window(step as i64, &series[step], &[]);
        predict.step(&window, &features).promotions
    };
    spoken.flat_map(step).collect()
}

#[test]
fn day_without_labels_in_every_three_does_not_keep_the_better_model_out() {
    let three_days = PromotionSettings { over_micros: 3 * 86_400_000_000, ..rule() };
    let promotions = with_gaps(three_days, (0..8 * DAY).filter(|step| step.saturating_sub(1) / DAY % 3 != 2));
    let [promotion] = promotions.as_slice() else { panic!("{promotions:?}") };
    // Days 0, 1 and 3.
    assert_eq!((promotion.at.0, promotion.reason), ((4 * DAY as i64 + 1) * SIZE, Reason::Better));
    assert!(promotion.comparisons.iter().all(|one| one.labels > 3_000), "{promotion:?}");
    // Days that lie too far back do not count: of two in thirteen there are never three in twelve.
    let three_days = PromotionSettings { over_micros: 3 * 86_400_000_000, ..rule() };
    assert_eq!(with_gaps(three_days, (0..20 * DAY).filter(|step| step.saturating_sub(1) / DAY % 13 < 2)), []);
}

#[test]
fn day_with_less_than_its_part_of_the_labels_does_not_count() {
    // A thousand of a day of 1152; the second day ends at noon.
    let whole_days = PromotionSettings { min_labels: 2_000, ..rule() };
    let promotions = with_gaps(whole_days, (0..3 * DAY / 2).chain(2 * DAY + 1..6 * DAY));
    let [promotion] = promotions.as_slice() else { panic!("{promotions:?}") };
    assert_eq!(promotion.at.0, (3 * DAY as i64 + 1) * SIZE);
}

#[test]
fn champion_that_makes_no_forecasts_is_replaced_by_a_challenger_that_beats_the_baseline() {
    let columns = columns(6, &["absent"]);
    let lags = OnlineLinearSettings { features: Some(vec!["speed.lag*".to_owned()]), ..city_model() };
    let lags = ModelSettings::One(ExpertSettings::OnlineLinear(lags));
    let absent = ModelSettings::One(ExpertSettings::Feature("absent".to_owned()));
    let series = series(4 * DAY);
    let run = |challengers: &[(&str, ModelSettings)]| {
        let settings = PredictorSettings { model: absent.clone(), ..contest(challengers, Some(rule())) };
        let mut predict = Predict::new(plan(settings, &columns));
        let mut feed = Feed::new(6, &columns);
        let step = |(step, values): (usize, &Vec<f64>)| {
            let (window, features) = feed.window(step as i64, values, &[f64::NAN]);
            predict.step(&window, &features).promotions
        };
        series.iter().enumerate().flat_map(step).collect::<Vec<Promotion>>()
    };
    // Hours old, it is worse than the last value.
    assert_eq!(run(&[("stale", stale())]), []);
    let promotions = run(&[("stale", stale()), ("lags", lags)]);
    let [promotion] = promotions.as_slice() else { panic!("{promotions:?}") };
    assert_eq!((promotion.after.as_str(), promotion.reason), ("lags", Reason::Silent));
    assert_eq!(promotion.at.0, (2 * DAY as i64 + 1) * SIZE);
    assert!(promotion.comparisons.iter().all(|one| one.labels == 0 && one.before.is_nan()), "{promotion:?}");
}

#[test]
fn champion_by_hand_serves_from_the_next_window_on_and_the_rule_goes_on_from_there() {
    let columns = columns(6, &[]);
    let series = series(8 * DAY);
    let both = [("learning", learning()), ("stale", stale())];
    let mut predict = Predict::new(plan(contest(&both, None), &columns));
    let (mut feed, mut ledger) = (Feed::new(6, &columns), MemoryState::default());
    live(&mut predict, &mut feed, &series[..DAY], 0, &mut ledger);
    let state = full(&mut predict);
    let by_hand = PredictorSettings { champion: Some("stale".to_owned()), ..contest(&both, Some(rule())) };
    let mut predict = Predict::new(plan(by_hand, &columns));
    predict.restore(&state).unwrap();
    let ran = live(&mut predict, &mut feed, &series, DAY, &mut ledger);
    let told: Vec<(&str, &str, Reason)> =
        ran.promotions.iter().map(|one| (one.before.as_str(), one.after.as_str(), one.reason)).collect();
    assert_eq!(told, [("feature", "stale", Reason::ByHand), ("stale", "learning", Reason::Better)]);
    assert_eq!(ran.promotions[0].at.0, DAY as i64 * SIZE);
    assert!(ran.promotions[0].comparisons.iter().all(|one| one.labels > 500 && one.after > one.before));
    // A restart does not put the file's hand in the rule's place again.
    let state = full(&mut predict);
    let by_hand = PredictorSettings { champion: Some("stale".to_owned()), ..contest(&both, Some(rule())) };
    let mut predict = Predict::new(plan(by_hand, &columns));
    predict.restore(&state).unwrap();
    let (window, features) = feed.window(8 * DAY as i64, &[70.0; KEYS], &[]);
    let step = predict.step(&window, &features);
    assert_eq!((step.promotions.len(), step.forecasts[0].made_by), (0, 1));
    // One that is gone from the file is replaced by who is to serve by the file, and that is told.
    let state = full(&mut predict);
    let mut predict = Predict::new(plan(contest(&both[1..], None), &columns));
    predict.restore(&state).unwrap();
    let (window, features) = feed.window(8 * DAY as i64 + 1, &[70.0; KEYS], &[]);
    let step = predict.step(&window, &features);
    let one = &step.promotions[0];
    assert_eq!((one.before.as_str(), one.after.as_str(), one.reason), ("learning", "feature", Reason::Withdrawn));
    assert_eq!((one.comparisons.len(), step.forecasts[0].made_by), (0, 0));
}

#[test]
fn contest_comes_back_bit_for_bit_wherever_it_is_stopped() {
    let columns = columns(6, &[]);
    let settings = || contest(&[("learning", learning()), ("stale", stale())], Some(rule()));
    let series = series(4 * DAY);
    let (expected, mut whole) = {
        let mut predict = Predict::new(plan(settings(), &columns));
        let ran = live(&mut predict, &mut Feed::new(6, &columns), &series, 0, &mut MemoryState::default());
        (ran, predict)
    };
    for stop in [3, DAY - 1, 2 * DAY, 2 * DAY + 1, 3 * DAY + 50] {
        let mut predict = Predict::new(plan(settings(), &columns));
        let (mut feed, mut ledger) = (Feed::new(6, &columns), MemoryState::default());
        let first = live(&mut predict, &mut feed, &series[..stop], 0, &mut ledger);
        predict.snapshot(Snapshot::Changed, &mut ledger);
        assert_eq!(ledger.blocks, full(&mut predict).blocks, "{stop}");
        let mut again = Predict::new(plan(settings(), &columns));
        again.restore(&ledger).unwrap();
        let second = live(&mut again, &mut feed, &series, stop, &mut ledger);
        assert_eq!([made(&first), made(&second)].concat(), made(&expected), "{stop}");
        assert_eq!([first.promotions, second.promotions].concat(), expected.promotions, "{stop}");
        assert_eq!(full(&mut again).blocks, full(&mut whole).blocks, "{stop}");
    }
}

#[test]
fn challengers_may_come_and_go_without_touching_what_the_predictor_has_learned() {
    let columns = columns(6, &[]);
    let series = series(DAY);
    let mut predict = Predict::new(plan(contest(&[], None), &columns));
    let (mut feed, mut ledger) = (Feed::new(6, &columns), MemoryState::default());
    live(&mut predict, &mut feed, &series[..200], 0, &mut ledger);
    let state = full(&mut predict);
    let mut with = Predict::new(plan(contest(&[("learning", learning())], None), &columns));
    with.restore(&state).unwrap();
    let beside = live(&mut with, &mut feed.clone(), &series, 200, &mut ledger);
    let alone = live(&mut predict, &mut feed, &series, 200, &mut ledger);
    assert_eq!(made(&beside), made(&alone));
    let own = full(&mut predict).blocks;
    let both = full(&mut with).blocks;
    assert!(own.iter().all(|block| both.get(block.0) == Some(block.1)));
    let others: Vec<&str> = both.keys().filter(|key| !own.contains_key(*key)).map(|(step, _)| step.as_str()).collect();
    assert!(
        others.iter().all(|step| step.starts_with("challenger.speed.learning") || step.starts_with("contest.speed"))
    );
    assert!(others.len() > 2, "{others:?}");
}

#[test]
fn contest_that_cannot_be_is_refused_by_name() {
    let columns = columns(6, &[]);
    let messages = |settings: PredictorSettings| -> Vec<String> {
        let problems = try_plan(&[settings], &columns).err().unwrap_or_default();
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.error)).collect()
    };
    let one = [("learning", learning())];
    let with = |promotion: PromotionSettings| contest(&one, Some(promotion));
    assert_eq!(
        messages(with(PromotionSettings { over_micros: SIZE, ..rule() })),
        ["predict.speed.promotion.over: over 0.003472222222222222 is not a whole number of days, 1 to 366"]
    );
    assert_eq!(
        messages(with(PromotionSettings { margin: 1.0, ..rule() })),
        ["predict.speed.promotion.margin: margin 1 is not 0 or more and below 1"]
    );
    assert_eq!(
        messages(with(PromotionSettings { by: Some(ComparedBy::LogLoss), ..rule() })),
        ["predict.speed.promotion.by: log_loss is no measure of a regression"]
    );
    assert_eq!(
        messages(contest(&[("persistence", learning()), ("feature", learning())], None)),
        [
            "predict.speed.challengers.persistence: a challenger cannot be called `persistence`: scores have another model \
             of that name",
            "predict.speed.challengers.feature: a challenger cannot be called `feature`: scores have another model of that \
             name",
        ]
    );
    let unknown = PredictorSettings { champion: Some("learing".to_owned()), ..contest(&one, None) };
    assert_eq!(messages(unknown), ["predict.speed.champion: no model of the predictor is called `learing`"]);
    assert_eq!(messages(contest(&[], Some(rule()))), ["predict.speed.promotion: `promotion` without challengers"]);
    let unread = ModelSettings::One(ExpertSettings::Feature("speed.lag9".to_owned()));
    assert_eq!(
        messages(contest(&[("unread", unread)], None)),
        ["predict.speed.challengers.unread.feature: `speed.lag9` matches no feature column"]
    );
}

/// The corridor with a model that forgets at once, and one that does not beside it; told with which sinks.
fn corridor() -> String {
    edited(&[
        (
            "    model: { online_linear: { scale: 10 } }\n",
            "    model: { online_linear: { scale: 10, forgetting: 0.5 } }\n    challengers: { steady: { online_linear: { scale: 10 } } }\n    promotion: { over: 1d, margin: 0.1, min_labels: 50 }\n",
        ),
        (
            "  alerts: { from: alerts, memory: {} }\n",
            "  alerts: { from: alerts, memory: {} }\n  forecasts: { from: forecasts, memory: {} }\n  promotions: { from: promotions, memory: {} }\n",
        ),
    ])
}

#[test]
fn promotion_is_a_record_a_metric_and_an_event_and_forecasts_name_who_made_them() {
    let ends = Ends::with_sinks(60, &["alerts", "forecasts", "promotions", "control"]);
    let ran = run(pipeline(&corridor()), &ends);
    let summary = ran.result.unwrap();
    let parsed = |sink: &str| -> Vec<Value> {
        let records = ends.broker.committed_records(sink).unwrap();
        records.iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
    };
    let promotions = parsed("promotions");
    // Each partition decides for itself.
    let partitions: BTreeSet<i64> = promotions.iter().map(|value| value["partition"].as_i64().unwrap()).collect();
    assert_eq!((promotions.len(), partitions), (2, [0, 1].into()), "{promotions:#?}");
    for value in &promotions {
        conforms("promotion.v1", value);
        assert_eq!((&value["before"], &value["after"]), (&"online_linear".into(), &"steady".into()));
        assert_eq!(
            (&value["reason"], &value["by"], &value["pipeline"]),
            (&"better".into(), &"mae".into(), &"corridor".into())
        );
        let one = &value["comparisons"][0];
        assert_eq!(one["horizon_s"], 900.0);
        assert!(one["labels"].as_u64().unwrap() >= 50);
        assert!(one["after"].as_f64().unwrap() < 0.9 * one["before"].as_f64().unwrap(), "{value:#}");
    }
    let versions: BTreeSet<String> = parsed("forecasts")
        .iter()
        .map(|value| value["model_version"].as_str().unwrap().split('@').next().unwrap().to_owned())
        .collect();
    assert_eq!(versions, ["speed".to_owned(), "speed/steady".to_owned()].into());
    let text = ran.metrics.encode().unwrap();
    let line = "arterial_predict_promotions_total{predictor=\"speed\",model=\"steady\"} 2";
    assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    let told = ran.events.iter().filter_map(|event| match event {
        RunEvent::Promoted(notice) => Some(notice.to_string()),
        _ => None,
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("  speed: `steady` in place of `online_linear` (better, partition "), "{}", told[0]);
    let models: Vec<&str> = summary.scores.iter().map(|score| score.model.as_str()).collect();
    assert_eq!(models, ["online_linear", "persistence", "profile", "steady"]);
}

#[test]
fn explain_says_who_challenges_and_what_is_kept_of_it() {
    let outline = serde_json::to_value(pipeline(&corridor()).outline()).unwrap();
    let text = outline.to_string();
    assert!(text.contains("with online_linear, challenged by steady (online_linear)"), "{outline:#}");
    let stages = outline["stages"].as_array().unwrap();
    let states = stages.iter().find(|stage| stage["stage"] == "predict").unwrap()["states"].as_array().unwrap();
    let of = |step: &str| states.iter().find(|state| state["step"] == step).unwrap_or_else(|| panic!("{states:#?}"));
    assert_eq!(of("challenger.speed.steady")["key"], serde_json::json!(["sensor_id"]));
    assert_eq!(of("contest.speed.days")["made_from"], serde_json::json!(["predict.speed", "challenger.speed.steady"]));
    // Who serves is not forgotten with what one of them has learned.
    assert_eq!(of("contest.speed")["made_from"], serde_json::json!([]));
}
