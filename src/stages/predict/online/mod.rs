//! Models that learn from each label once: never a second look at a row.
//!
//! | module | what |
//! |---|---|
//! | [`recursive_least_squares`] | one update of one model |
//! | [`params`] | a linear model's settings, checked, and the start of a model |
//! | [`warm_start`] | the first complete history -> weights and `P` |
//! | [`bank`] | models of all keys at one horizon, in dense arrays |
//! | [`history`] | pairs gathered before a model starts |
//! | [`linear`] | the same model for one series, behind linfa's `FitWith` and `Predict` |
//! | [`ftrl`] | logistic regression for classes, of `linfa-ftrl` |
//! | [`linear_predictor`] | the models of one predictor, all keys and horizons, with their state |

pub mod bank;
pub mod ftrl;
pub mod history;
pub mod linear;
pub mod linear_predictor;
pub mod params;
pub mod recursive_least_squares;
pub mod warm_start;

pub use ftrl::{FtrlParams, FtrlPredictor};
pub use linear::OnlineLinear;
pub use linear_predictor::LinearPredictor;
pub use params::{OnlineLinearError, OnlineLinearParams};
