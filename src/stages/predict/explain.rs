//! One forecast -> the share of each feature, exactly: shares and baseline add up to the forecast. Computed on
//! demand for alerts, never for every row.

use crate::vocab::EventTime;

/// Name of the share by which a forecast was moved to be held at its minimum or maximum.
pub const LIMIT: &str = "limit";

/// Name of the share that a network's explanation misses the integral by.
pub const GAP: &str = "completeness_gap";

/// One feature's share in a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The feature column; [`LIMIT`] for the part that `minimum` or `maximum` took away.
    pub feature: String,
    /// Its value, in its own unit; of what is no column, as [`LIMIT`], NaN in a mixture, where each expert has its own.
    pub value: f64,
    /// Its share, in the target's unit. Shares add up to forecast minus baseline within 1e-9.
    pub share: f64,
}

/// A model's forecast as a sum, in the target's unit.
#[derive(Debug, Clone, PartialEq)]
pub struct AdditiveForecast {
    /// The model's forecast for the running mean of the features it has learned from.
    pub baseline: f64,
    /// The forecast, before it is held at a limit.
    pub forecast: f64,
    /// What each feature adds because it differs from its mean, in column order.
    pub contributions: Vec<Contribution>,
}

impl AdditiveForecast {
    /// Adds another one of this weight; shares of the same feature become one. What is no column has a value in each expert, and
    /// none in the sum.
    pub(super) fn add(&mut self, weight: f64, other: Self) {
        self.baseline += weight * other.baseline;
        self.forecast += weight * other.forecast;
        for Contribution { feature, value, share } in other.contributions {
            let share = weight * share;
            let value = if feature == LIMIT || feature == GAP { f64::NAN } else { value };
            match self.contributions.iter_mut().find(|known| known.feature == feature) {
                Some(known) => known.share += share,
                None => self.contributions.push(Contribution { feature, value, share }),
            }
        }
    }
}

/// Why a forecast is what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// End of the window the forecast was made at.
    pub end: EventTime,
    /// Who made it: 0 is the predictor's own model, challengers follow.
    pub made_by: usize,
    /// Labels learned by the model when it made the forecast, all keys together.
    pub version: u64,
    /// The forecast as it was emitted.
    pub forecast: f64,
    /// The forecast for the mean of the features.
    pub baseline: f64,
    /// Shares that add up to `forecast - baseline`.
    pub contributions: Vec<Contribution>,
}

/// Limits of a forecast, in the target's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Least forecast; minus infinity where there is none.
    pub minimum: f64,
    /// Greatest forecast; infinity where there is none.
    pub maximum: f64,
}

impl Limits {
    /// The forecast, held inside; NaN stays NaN.
    #[must_use]
    pub fn hold(self, forecast: f64) -> f64 {
        if forecast < self.minimum {
            self.minimum
        } else if forecast > self.maximum {
            self.maximum
        } else {
            forecast
        }
    }

    /// The explanation of a forecast that these limits were applied to; who made it, after how many labels.
    #[must_use]
    pub fn explain(self, end: EventTime, (made_by, version): (usize, u64), additive: AdditiveForecast) -> Explanation {
        let AdditiveForecast { baseline, forecast, contributions } = self.hold_additive(additive);
        Explanation { end, made_by, version, forecast, baseline, contributions }
    }

    /// The same, held inside; what that took away is a share of its own.
    pub(super) fn hold_additive(self, mut additive: AdditiveForecast) -> AdditiveForecast {
        let (free, forecast) = (additive.forecast, self.hold(additive.forecast));
        if forecast != free {
            let share = forecast - free;
            // Of a mixture, experts may have been held before.
            match additive.contributions.iter_mut().find(|known| known.feature == LIMIT) {
                Some(known) => (known.value, known.share) = (forecast, known.share + share),
                None => {
                    let feature = LIMIT.to_owned();
                    additive.contributions.push(Contribution { feature, value: forecast, share });
                }
            }
            additive.forecast = forecast;
        }
        additive
    }
}
