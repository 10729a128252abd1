//! Networks that many keys share: one learns from all of them, online, from a memory of recent windows.
//!
//! | module | what |
//! |---|---|
//! | [`params`] | what the user wrote, checked |
//! | [`inputs`] | feature rows -> what a network reads, by means and spreads of the first history |
//! | `unsettled` | columns that had no spread by then, which is set anew once they have |
//! | [`replay`] | rows of past windows with their labels, to learn from again |
//! | [`network`] | the layers: forecasts, and gradients of weights and of inputs |
//! | [`training`] | AdamW, the mean of the weights, and their state |
//! | `made` | its newest forecasts, for explanations |
//! | [`mlp`] | all of these as a model of one predictor |
//! | [`dense`], [`rows`], [`classifier`] | a plain network of classes, rows with their labels, and both as a model |
//! | [`fit`], [`logistic`] | a network of classes trained on a history, and a regression to measure it beside |
//! | [`mlp_fit`], [`pretrained`] | a network that keys share trained on a history, and one that a predictor starts from |
//! | `origin`, `dropped` | the trained network that a state went on from, and a state that is not gone on with |
//! | [`integrated_gradients`] | why a network says what it says |

pub mod classifier;
pub mod dense;
mod dropped;
pub mod fit;
pub mod inputs;
pub mod integrated_gradients;
pub mod logistic;
mod made;
pub mod mlp;
pub mod mlp_fit;
pub mod network;
mod origin;
pub mod params;
pub mod pretrained;
pub mod replay;
pub mod rows;
pub mod training;
mod unsettled;

pub use classifier::{MlpClassifier, MlpClassifierParams};
pub use mlp::MlpPredictor;
pub use params::{MlpError, MlpParams};
pub use pretrained::{MlpShape, MlpStart, PretrainedMlp, TrainedMlp};
