//! Forecasts whose labels have come, for whoever measures them: what scores sum up, one window at a time.

use std::fmt;
use std::sync::Arc;

use super::explain::Limits;
use super::intervals::Bounds;
use super::names::KeyNames;
use crate::stages::features::FeatureMatrix;
use crate::vocab::EventTime;

/// The forecasts of one predictor and horizon for one window of one partition, and their labels.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The predictor's name.
    pub predictor: &'a str,
    /// How far ahead, microseconds.
    pub horizon_micros: i64,
    /// End of the window that they are for.
    pub target: EventTime,
    /// Whether scores count them.
    pub counted: bool,
    /// As they were emitted: `[key]`, NaN where there is none.
    pub forecasts: &'a [f64],
    /// Persistence's for the same, likewise.
    pub persistence: &'a [f64],
    /// The seasonal profile's.
    pub profile: &'a [f64],
    /// Their bounds, where they have some.
    pub bounds: Option<&'a Bounds>,
    /// What they were held at.
    pub limits: Limits,
    /// What they were made from: the columns that the predictor uses.
    pub features: &'a FeatureMatrix,
    /// `[key]`, NaN where there is none.
    pub labels: &'a [f64],
    /// What the keys are called.
    pub names: &'a dyn KeyNames,
}

/// Is shown forecasts before their labels are learned. It changes nothing.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Observed<'_>) + Send + Sync>);

impl Observer {
    /// From what looks on.
    pub fn new(look: impl Fn(&Observed<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub(super) fn show(&self, observed: &Observed<'_>) {
        (self.0)(observed);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Observer").finish_non_exhaustive()
    }
}
