//! Errors of models on labels of the same keys -> comparisons in which every key counts alike: a sensor that is a thousand
//! times too large would be the whole of a sum over all of them. Who made the forecasts is not asked here.

use std::collections::BTreeMap;

use super::card::KeyErrors;
use crate::vocab::duration_text;

/// Larger errors are taken for this: sums stay finite.
const FINITE_MAX: f64 = 1e290;

/// Absolute errors of models, each by horizon and key.
#[derive(Debug, Clone, Default)]
pub struct ErrorsByKey {
    /// Of each model and horizon, microseconds, by the key's name.
    models: BTreeMap<(String, i64), BTreeMap<String, Sums>>,
}

/// Errors for the labels of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    labels: u64,
    absolute: f64,
}

impl ErrorsByKey {
    /// Takes the errors of a model at a horizon in: of each a key and forecast minus label.
    pub fn add<'a>(&mut self, model: &str, horizon_micros: i64, errors: impl Iterator<Item = (&'a str, f64)>) {
        let by_key = self.models.entry((model.to_owned(), horizon_micros)).or_default();
        for (key, error) in errors {
            // A name is copied once, not with every label.
            let sums = match by_key.get_mut(key) {
                Some(sums) => sums,
                None => by_key.entry(key.to_owned()).or_default(),
            };
            sums.labels += 1;
            sums.absolute += error.abs().min(FINITE_MAX);
        }
    }

    /// Two models on the same labels, by horizon; nothing where at one of them neither was ever wrong.
    #[must_use]
    pub fn compare(&self, model: &str, other: &str) -> Vec<KeyErrors> {
        let own = self.models.iter().filter(|((name, _), _)| name == model);
        let compared = own.map(|((_, horizon), own)| {
            let others = self.models.get(&(other.to_owned(), *horizon))?;
            shares(*horizon, own, others)
        });
        compared.collect::<Option<_>>().unwrap_or_default()
    }
}

/// Both at one horizon; `None` where neither was ever wrong.
fn shares(horizon_micros: i64, own: &BTreeMap<String, Sums>, others: &BTreeMap<String, Sums>) -> Option<KeyErrors> {
    let (mut keys, mut labels, mut of_own, mut of_other) = (0, 0.0, 0.0, 0.0);
    for (name, one) in own {
        let Some(other) = others.get(name) else { continue };
        let larger = one.absolute.max(other.absolute);
        if larger > 0.0 {
            let weight = one.labels as f64;
            keys += 1;
            labels += weight;
            of_own += weight * one.absolute / larger;
            of_other += weight * other.absolute / larger;
        }
    }
    let horizon = duration_text(horizon_micros);
    (keys > 0).then(|| KeyErrors { horizon, keys, own: of_own / labels, other: of_other / labels })
}
