//! Forecasts that were held out, shown with their labels -> errors of each version, and of the baselines beside it, by key.

use std::sync::{Arc, Mutex, PoisonError};

use crate::models::KeyErrors;
use crate::models::by_key::ErrorsByKey;
use crate::stages::predict::{Baseline, Observed, Observer};
use crate::vocab::{EventTime, KeyId};

/// Errors as they come, of several partitions. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct ByKey(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    errors: ErrorsByKey,
    /// Of each version, the end of the newest window with a label that counted.
    newest: Vec<(String, EventTime)>,
}

impl ByKey {
    /// What looks on.
    pub(super) fn observer(&self) -> Observer {
        let kept = self.clone();
        Observer::new(move |observed| kept.with(|kept| kept.look(observed)))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Kept) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The end of the newest window with a label of a version's forecasts that counted.
    pub(super) fn newest(&self, version: &str) -> Option<EventTime> {
        self.with(|kept| kept.newest.iter().find(|(name, _)| name == version).map(|(_, newest)| *newest))
    }

    /// A version beside another, by horizon.
    pub(super) fn compare(&self, version: &str, other: &str) -> Vec<KeyErrors> {
        self.with(|kept| kept.errors.compare(version, other))
    }

    /// A version beside a baseline on the same labels, likewise.
    pub(super) fn compare_baseline(&self, version: &str, baseline: Baseline) -> Vec<KeyErrors> {
        self.compare(version, &beside(version, baseline))
    }
}

/// What a baseline is called beside a version.
fn beside(version: &str, baseline: Baseline) -> String {
    format!("{version}/{}", baseline.name())
}

impl Kept {
    fn look(&mut self, observed: &Observed<'_>) {
        if !observed.counted {
            return;
        }
        let (version, micros, labels) = (observed.predictor, observed.horizon_micros, observed.labels);
        let all = [observed.forecasts, observed.persistence, observed.profile];
        // As scores count them.
        let counts = |key: usize| all.iter().chain([&labels]).all(|of| of.get(key).is_some_and(|one| one.is_finite()));
        // Ids are u32 everywhere.
        let named = |key: usize| observed.names.name(key as KeyId).map(|name| (key, name));
        let keys: Vec<(usize, &str)> = (0..labels.len()).filter(|key| counts(*key)).filter_map(named).collect();
        let names = [version.to_owned(), beside(version, Baseline::Persistence), beside(version, Baseline::Profile)];
        for (name, forecasts) in names.iter().zip(all) {
            let errors = keys.iter().map(|&(key, of)| (of, forecasts[key] - labels[key]));
            self.errors.add(name, micros, errors);
        }
        if keys.is_empty() {
            return;
        }
        match self.newest.iter_mut().find(|(name, _)| name == version) {
            Some((_, newest)) => *newest = observed.target.max(*newest),
            None => self.newest.push((version.to_owned(), observed.target)),
        }
    }
}
