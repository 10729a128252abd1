//! One suite for every model: what a model must survive, whatever it computes. A new model is one more entry in [`cases()`],
//! which says what it can be held to; a check that cannot be made of it is named there with the reason. Mixtures and the
//! baselines are checked as whole predictors, in [`plans`].
//!
//! | module | what is checked |
//! |---|---|
//! | [`cases`] | every model there is |
//! | [`samples`] | rows and labels that follow a law |
//! | [`state`] | snapshots bit for bit, whole and in parts; the same twice; bounds |
//! | [`values`] | silent sensors, missing and infinite values, columns that come and go, huge values |
//! | [`learning`] | the law, a constant, keys that come back, millions of labels |
//! | [`shares`] | contributions add up |
//! | [`complete`] | no implementation is left out |
//! | [`plans`], [`plan_cases`] | the same of whole predictors, and no label before its time |

mod cases;
mod complete;
mod learning;
mod plan_cases;
mod plans;
mod samples;
mod shares;
mod state;
mod values;

use arterial::stages::features::FeatureMatrix;
use arterial::stages::predict::{ClassSums, KeyNames, OnlinePredictor};
use arterial::vocab::{KeyId, Snapshot};

use crate::predict_support::MemoryState;

pub(crate) use cases::{cases, classifier_settings, ftrl, linear, params, small_network};
pub(crate) use plan_cases::window;
pub(crate) use samples::{FEATURES, class_columns, class_sample, feature_columns, matrix, sample};

/// What a model may be unable to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It learns what its labels follow.
    Law,
    /// It learns a label that is always the same.
    Constant,
    /// It learns what its labels follow after they were always the same.
    LawAfterConstant,
    /// It learns of a column that was missing at first.
    NewColumn,
    /// After huge values it learns what its labels follow as before.
    Recovery,
    /// It counts labels that it refuses.
    Refusal,
    /// It takes effects of drift for one key.
    Effects,
}

/// What its labels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    Quantities,
    Classes,
}

/// Whose labels a key's model learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Its own.
    Own,
    /// Those of all keys, or none.
    Shared,
}

/// Which missing columns leave a row without a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SilencedBy {
    /// Any; and such a row teaches nothing.
    Any,
    /// The first.
    First,
    /// All together.
    All,
    /// None, for this reason.
    None(&'static str),
}

/// One model and what it can be held to.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The implementations of `OnlinePredictor` that it runs, as `src` calls them.
    pub(crate) runs: &'static [&'static str],
    pub(crate) labels: Labels,
    pub(crate) horizons: usize,
    pub(crate) keys: Keys,
    pub(crate) silenced_by: SilencedBy,
    /// Promises that it cannot keep, and why.
    pub(crate) exempt: &'static [(Promise, &'static str)],
    /// Windows of three keys after which it knows the law.
    pub(crate) steps: i64,
    /// Windows of one key after which it knows it again.
    pub(crate) steps_again: i64,
    /// What it may miss by then, as [`Case::miss`] says; and once it has been disturbed.
    pub(crate) within: [f64; 2],
    /// Labels of its long run, those of all horizons together.
    pub(crate) long_run: usize,
    pub(crate) make: Box<dyn Fn() -> Box<dyn OnlinePredictor>>,
}

/// Keys are called as those that networks were trained with; later ones have no name.
#[derive(Debug)]
struct Letters;

impl KeyNames for Letters {
    fn name(&self, key: KeyId) -> Option<&str> {
        ["a", "b", "c", "d"].get(key as usize).copied()
    }
}

impl Case {
    /// One that has learned nothing.
    pub(crate) fn fresh(&self) -> Box<dyn OnlinePredictor> {
        (self.make)()
    }

    /// One that goes on from a state.
    pub(crate) fn restored(&self, state: &MemoryState) -> Box<dyn OnlinePredictor> {
        let mut model = self.fresh();
        model.restore(state).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        model
    }

    /// Whether it is held to a promise.
    pub(crate) fn keeps(&self, promise: Promise) -> bool {
        !self.exempt.iter().any(|(exempt, _)| *exempt == promise)
    }

    /// Rows and labels of a window by the law, with noise.
    pub(crate) fn sample(&self, keys: usize, step: i64) -> (FeatureMatrix, Vec<f64>) {
        match self.labels {
            Labels::Quantities => sample(keys, step, 0.1),
            Labels::Classes => class_sample(keys, step),
        }
    }

    /// As the stage does it at every window.
    pub(crate) fn learn(&self, model: &mut dyn OnlinePredictor, features: &FeatureMatrix, labels: &[f64]) {
        model.grow(features.rows);
        model.meet_keys(&Letters);
        (0..self.horizons).for_each(|horizon| model.learn_many(horizon, features, labels));
    }

    pub(crate) fn learn_steps(&self, model: &mut dyn OnlinePredictor, keys: usize, steps: std::ops::Range<i64>) {
        for step in steps {
            let (features, labels) = self.sample(keys, step);
            self.learn(model, &features, &labels);
        }
    }

    /// Forecasts, `[horizon][key]`.
    pub(crate) fn forecasts(&self, model: &dyn OnlinePredictor, features: &FeatureMatrix) -> Vec<Vec<f64>> {
        let mut all = vec![vec![f64::NAN; features.rows]; self.horizons];
        model.predict_many(features, &mut all);
        all
    }

    /// How far it is from the law at the first key: of quantities the greatest error; of classes the share of wrong ones, of
    /// which the law itself has 0.104: the angle of a - b, of spread 14.1, to noise of spread 5.
    pub(crate) fn miss(&self, model: &dyn OnlinePredictor) -> f64 {
        match self.labels {
            Labels::Quantities => {
                let (features, labels) = sample(1, 9_999, 0.0);
                let made = self.forecasts(model, &features).concat();
                made.iter().fold(0.0, |most, forecast| {
                    let error = (forecast - labels[0]).abs();
                    // Not `max`, which passes over NaN.
                    if error > most || error.is_nan() { error } else { most }
                })
            }
            Labels::Classes => 1.0 - self.scored(model).accuracy().unwrap_or(f64::NAN),
        }
    }

    /// How good its probabilities at the first horizon are.
    pub(crate) fn scored(&self, model: &dyn OnlinePredictor) -> ClassSums {
        let mut sums = ClassSums::default();
        for step in 100_000..100_200 {
            let (features, labels) = class_sample(5, step);
            for (probability, label) in self.forecasts(model, &features)[0].iter().zip(labels) {
                sums.add(*probability, label, 0.5);
            }
        }
        sums
    }
}

/// The cases that are held to a promise.
fn keeping(promise: Promise) -> impl Iterator<Item = Case> {
    cases().into_iter().filter(move |case| case.keeps(promise))
}

/// The cases of classes.
pub(crate) fn classifiers() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.labels == Labels::Classes && case.keeps(Promise::Law))
}

/// Lets a model of two horizons learn, whose keys have no names.
pub(crate) fn learn(model: &mut dyn OnlinePredictor, features: &FeatureMatrix, labels: &[f64]) {
    model.grow(features.rows);
    for horizon in 0..2 {
        model.learn_many(horizon, features, labels);
    }
}

/// Forecasts of a model of two horizons.
pub(crate) fn forecasts(model: &dyn OnlinePredictor, features: &FeatureMatrix) -> Vec<Vec<f64>> {
    let mut all = vec![vec![f64::NAN; features.rows]; 2];
    model.predict_many(features, &mut all);
    all
}

pub(crate) fn state(model: &mut dyn OnlinePredictor) -> MemoryState {
    let mut state = MemoryState::default();
    model.snapshot(Snapshot::Full, &mut state);
    state
}
