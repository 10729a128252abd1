//! Bounds of forecasts beside those of split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018): of every
//! sensor and horizon the forecast and to either side the quantile of its absolute errors over the part for warming up.
//! Peak hours are 7 to 9 and 16 to 18 of working days.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arterial::stages::features::local_time;
use arterial::stages::predict::{IntervalSums, Observed, Observer};
use chrono_tz::Tz;

/// What both promise.
pub(crate) const COVERAGE: f64 = 0.9;
const HOUR_MICROS: i64 = 3_600_000_000;

/// A predictor's name and a horizon in microseconds.
pub(crate) type Of = (String, i64);

/// Sums of one predictor at one horizon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    pub(crate) own: IntervalSums,
    pub(crate) own_at_peak: IntervalSums,
    pub(crate) split: IntervalSums,
    /// Absolute errors of the part for warming up: `[key]`.
    errors: Vec<Vec<f32>>,
    /// Their quantiles, once all of them are there.
    quantiles: Vec<f64>,
}

/// Gathers the sums while a pipeline runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered(Arc<Mutex<BTreeMap<Of, Beside>>>);

impl Gathered {
    /// What looks on; the peak is that of the zone.
    pub(crate) fn observer(&self, zone: Tz) -> Observer {
        let gathered = Arc::clone(&self.0);
        Observer::new(move |observed| {
            let of = (observed.predictor.to_owned(), observed.horizon_micros);
            let mut all = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(of).or_default().take(observed, peak(observed, zone));
        })
    }

    pub(crate) fn of(&self, of: &Of) -> Option<Beside> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(of).filter(|beside| beside.own.count > 0).cloned()
    }
}

fn peak(observed: &Observed<'_>, zone: Tz) -> bool {
    let local = local_time(observed.target, zone);
    local.weekday < 5 && [7, 8, 16, 17].contains(&(local.day_micros / HOUR_MICROS))
}

impl Beside {
    fn take(&mut self, observed: &Observed<'_>, peak: bool) {
        let Some(bounds) = observed.bounds else { return };
        if !observed.counted {
            self.errors.resize(observed.labels.len().max(self.errors.len()), Vec::new());
            for ((errors, forecast), label) in self.errors.iter_mut().zip(observed.forecasts).zip(observed.labels) {
                let error = (forecast - label).abs();
                errors.extend(error.is_finite().then_some(error as f32));
            }
            return;
        }
        if self.quantiles.is_empty() {
            self.quantiles = std::mem::take(&mut self.errors).into_iter().map(quantile).collect();
        }
        for (key, label) in observed.labels.iter().enumerate().filter(|(_, label)| label.is_finite()) {
            let (Some(own), Some(&width)) = (bounds.interval(key), self.quantiles.get(key)) else { continue };
            if !width.is_finite() {
                continue;
            }
            let forecast = observed.forecasts[key];
            let split = [forecast - width, forecast + width].map(|bound| observed.limits.hold(bound));
            self.own.add(COVERAGE, own, *label);
            self.split.add(COVERAGE, (split[0], split[1]), *label);
            if peak {
                self.own_at_peak.add(COVERAGE, own, *label);
            }
        }
    }
}

/// The error that the share of a new one is below, for exchangeable errors: rank `(n + 1) coverage`.
fn quantile(mut errors: Vec<f32>) -> f64 {
    errors.sort_by(f32::total_cmp);
    let rank = ((errors.len() + 1) as f64 * COVERAGE).ceil() as usize;
    errors.get(rank.saturating_sub(1)).map_or(f64::NAN, |error| f64::from(*error))
}
