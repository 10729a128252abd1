//! Models of the embedding program: what they are asked to be made for, and their panics by name.

use std::fmt;
use std::sync::Arc;

use super::drift::params::DriftEffect;
use super::explain::AdditiveForecast;
use super::names::KeyNames;
use super::plan::Horizon;
use super::predictor::{OnlinePredictor, Predictor};
use crate::stages::custom::{CustomSettings, Fresh, Refusal, guarded};
use crate::stages::features::{FeatureColumn, FeatureMatrix};
use crate::vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter};

/// What a custom model is to be made for.
#[derive(Debug, Clone, Copy)]
pub struct ModelRequest<'a> {
    /// The predictor's name.
    pub predictor: &'a str,
    /// The window column to forecast.
    pub target: &'a str,
    /// How far ahead; models are asked by index.
    pub horizons: &'a [Horizon],
    /// Columns of the matrices that the model will see.
    pub columns: &'a [FeatureColumn],
    /// `settings:` in the file.
    pub settings: CustomSettings<'a>,
}

/// Checks the settings of a custom model and says how to make it.
#[derive(Clone)]
pub struct ModelFactory(Arc<Prepare>);

type Prepare = dyn Fn(&ModelRequest<'_>) -> Result<Fresh<dyn OnlinePredictor>, Refusal> + Send + Sync;

impl ModelFactory {
    /// From what checks.
    pub fn new(
        prepare: impl Fn(&ModelRequest<'_>) -> Result<Fresh<dyn OnlinePredictor>, Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(prepare))
    }

    pub(super) fn prepare(&self, request: &ModelRequest<'_>) -> Result<Fresh<dyn OnlinePredictor>, Refusal> {
        (self.0)(request)
    }
}

impl fmt::Debug for ModelFactory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ModelFactory").finish_non_exhaustive()
    }
}

/// A custom model whose panics say whose they are.
pub struct GuardedModel {
    name: String,
    inner: Box<dyn OnlinePredictor>,
}

impl GuardedModel {
    /// The model of one partition, made for `step`; `name` is what it is registered under.
    #[must_use]
    pub fn new(name: &str, step: &str, fresh: &Fresh<dyn OnlinePredictor>) -> Self {
        let name = format!("custom model `{name}` of `{step}`");
        let inner = guarded(|| name.clone(), || fresh.make(step));
        Self { name, inner }
    }

    fn read<R>(&self, work: impl FnOnce(&dyn OnlinePredictor) -> R) -> R {
        guarded(|| self.name.clone(), || work(self.inner.as_ref()))
    }

    fn change<R>(&mut self, work: impl FnOnce(&mut dyn OnlinePredictor) -> R) -> R {
        guarded(|| self.name.clone(), || work(self.inner.as_mut()))
    }
}

impl Predictor for GuardedModel {
    fn predict_many(&self, features: &FeatureMatrix, forecasts: &mut [Vec<f64>]) {
        self.read(|model| model.predict_many(features, forecasts));
    }

    fn explain(&self, horizon: usize, features: &FeatureMatrix, key: KeyId) -> Option<AdditiveForecast> {
        self.read(|model| model.explain(horizon, features, key))
    }

    fn version(&self, horizon: usize) -> u64 {
        self.read(|model| model.version(horizon))
    }

    fn refused(&self, horizon: usize) -> u64 {
        self.read(|model| model.refused(horizon))
    }

    fn dropped(&self) -> u64 {
        self.read(|model| model.dropped())
    }

    fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.change(|model| model.snapshot(which, writer));
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.change(|model| model.restore(reader))
    }
}

impl OnlinePredictor for GuardedModel {
    fn grow(&mut self, keys: usize) {
        self.change(|model| model.grow(keys));
    }

    fn meet_keys(&mut self, names: &dyn KeyNames) {
        self.change(|model| model.meet_keys(names));
    }

    fn learn_many(&mut self, horizon: usize, features: &FeatureMatrix, targets: &[f64]) {
        self.change(|model| model.learn_many(horizon, features, targets));
    }

    fn forget(&mut self, keys: &[KeyId]) {
        self.change(|model| model.forget(keys));
    }

    fn prepare(&mut self) {
        self.change(|model| model.prepare());
    }

    fn supports(&self, effect: DriftEffect) -> bool {
        self.read(|model| model.supports(effect))
    }

    fn rewarm(&mut self, horizon: usize, key: KeyId) {
        self.change(|model| model.rewarm(horizon, key));
    }

    fn hasten(&mut self, horizon: usize, key: KeyId, forgetting: Option<f64>) {
        self.change(|model| model.hasten(horizon, key, forgetting));
    }
}
