//! A dataset of one series -> [`OnlineLinear`], behind linfa's `FitWith` and `Predict`: a bank of one key, so that a
//! model trained apart and one trained in a pipeline are the same numbers. No state blocks.

use linfa::dataset::{AsSingleTargets, DatasetBase};
use linfa::traits::{FitWith, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix2};

use super::bank::Bank;
use super::params::{OnlineLinearError, OnlineLinearParams};

/// A fitted linear model of one series that goes on learning.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineLinear {
    params: OnlineLinearParams,
    bank: Bank,
}

impl OnlineLinear {
    /// Weights for scaled features, the bias last.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.bank.weights
    }

    /// Upper triangle of `P`, row by row.
    #[must_use]
    pub fn covariance(&self) -> &[f64] {
        &self.bank.covariance
    }

    /// Labels learned.
    #[must_use]
    pub fn learned(&self) -> u64 {
        self.bank.learned[0]
    }

    /// Steps refused, or that started `P` anew, so that all numbers stay finite.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.bank.refused[0]
    }
}

impl<'a, D, T> FitWith<'a, ArrayBase<D, Ix2>, T, OnlineLinearError> for OnlineLinearParams
where
    D: Data<Elem = f64>,
    T: AsSingleTargets<Elem = f64>,
{
    type ObjectIn = Option<OnlineLinear>;
    type ObjectOut = OnlineLinear;

    /// Learns the dataset's rows in order; rows with a value that is not finite are passed over. Records are in their
    /// own units: (rows x features), without the bias. Without a model, and with `history` above 0, the dataset is the
    /// first history and the start is solved by linfa-linear; with `history` 0 the model starts at persistence and
    /// lets `learn_after` rows pass.
    ///
    /// # Errors
    /// [`OnlineLinearError::Columns`] where the dataset has another number of columns.
    fn fit_with(
        &self,
        model: Option<OnlineLinear>,
        dataset: &'a DatasetBase<ArrayBase<D, Ix2>, T>,
    ) -> Result<OnlineLinear, OnlineLinearError> {
        let records = dataset.records();
        if records.ncols() != self.feature_count() {
            return Err(OnlineLinearError::Columns { columns: records.ncols(), expected: self.feature_count() });
        }
        let width = self.width();
        if let Some(other) = model.as_ref().filter(|earlier| earlier.params.width() != width) {
            return Err(OnlineLinearError::Columns {
                columns: records.ncols(),
                expected: other.params.feature_count(),
            });
        }
        let mut pairs = Vec::with_capacity(records.nrows() * (width + 1));
        let mut pair = vec![0.0; width + 1];
        for (row, target) in records.rows().into_iter().zip(dataset.as_single_targets()) {
            let complete = self.scale_features(row.iter().copied(), &mut pair[..width]);
            pair[width] = target / self.target_scale();
            if complete && pair[width].is_finite() {
                pairs.extend_from_slice(&pair);
            }
        }
        let fresh = model.is_none();
        let mut fitted = model.unwrap_or_else(|| {
            let mut bank = Bank::default();
            bank.grow(self, 1);
            OnlineLinear { params: self.clone(), bank }
        });
        if fresh && self.history() > 0 {
            fitted.bank.start(self, 0, &pairs);
            return Ok(fitted);
        }
        for pair in pairs.chunks_exact(width + 1) {
            if !fitted.bank.pass(self, 0) {
                fitted.bank.learn(self.rule(), 0, &pair[..width], pair[width]);
            }
        }
        Ok(fitted)
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for OnlineLinear {
    /// Forecasts in the target's unit; NaN for rows with a value that is not finite.
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, forecasts: &mut Array1<f64>) {
        let mut scaled = vec![0.0; self.params.width()];
        for (row, forecast) in records.rows().into_iter().zip(forecasts.iter_mut()) {
            let complete = self.params.scale_features(row.iter().copied(), &mut scaled);
            *forecast = f64::NAN;
            if complete {
                self.bank.hold(0, &mut scaled);
                *forecast = self.bank.forecast(0, &scaled) * self.params.target_scale();
            }
        }
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(records.nrows())
    }
}
