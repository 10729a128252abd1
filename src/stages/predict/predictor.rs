//! What every model offers to the stage: whole matrices in, whole columns of forecasts out; no call per row. A model
//! knows nothing of windows, labels' times, limits or scores.

use super::drift::params::DriftEffect;
use super::explain::AdditiveForecast;
use super::names::KeyNames;
use crate::stages::features::FeatureMatrix;
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// A model that makes forecasts for every key and horizon of one predictor.
pub trait Predictor: Send {
    /// Writes the forecast of every row for every horizon of the plan: `forecasts[horizon][key]`, in the target's unit, NaN
    /// where the model has none: a feature that it needs is missing, or it has not started. There is a slot for each row.
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]);

    /// Exact additive shares of one row's forecast; `None` where there is no forecast.
    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast>;

    /// Labels learned so far at a horizon, by all keys together.
    fn version(&self, horizon: usize) -> u64;

    /// Labels refused so far at a horizon because they would not have left the model sound, of keys that are still known:
    /// 0 for sane input.
    fn refused(&self, horizon: usize) -> u64;

    /// Labels that its state had learned and that it dropped when that was read back, as of a network that is to stay as it was
    /// trained.
    fn dropped(&self) -> u64 {
        0
    }

    /// Writes the state.
    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter);

    /// Reads the state back into a model that has learned nothing yet.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit this model.
    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError>;
}

/// A [`Predictor`] that learns while it runs.
pub trait OnlinePredictor: Predictor {
    /// Adds fresh models up to `keys`.
    fn grow(&mut self, keys: usize);

    /// Is told the names of its keys before every window, for a model that knows something of keys by name. An id that was
    /// forgotten may have another name from then on, or none while it is free.
    fn meet_keys(&mut self, _names: &dyn KeyNames) {}

    /// Learns, for every row with a label, the pair of row and label: `targets[key]`, in the target's unit, NaN where
    /// there is none. Rows with a missing feature are passed over.
    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]);

    /// Makes the models of these keys fresh ones.
    fn forget(&mut self, keys: &[KeyId]);

    /// Does ahead what the next forecasts need in any case: called when nothing waits to be sent. It must not change what
    /// a snapshot writes, so that it does not matter when, or whether, it is called.
    fn prepare(&mut self) {}

    /// Whether the model can take an effect of drift for one key at one horizon, and leave all others as they are. An effect
    /// that no model of a predictor can take is refused when the file is checked; models that cannot are not asked to.
    fn supports(&self, _effect: DriftEffect) -> bool {
        false
    }

    /// The effect `rewarm`: makes a key's model at one horizon a fresh one. Called only where the model supports it.
    fn rewarm(&mut self, _horizon: usize, _key: KeyId) {}

    /// The effect `forget`: lets a key's model at one horizon forget by this factor, where it is lower than its own, with
    /// every label from the next one on; by its own again where `None`. No part of the state: it is said again after a
    /// restart. Called only where the model supports it.
    fn hasten(&mut self, _horizon: usize, _key: KeyId, _forgetting: Option<f64>) {}
}
