//! Trained networks as versioned files: weights as safetensors, a card that says what they are, and which version serves.
//!
//! | module | what |
//! |---|---|
//! | [`tensors`], [`mlp_tensors`] | a network of classes, or of forecasts <-> bytes of safetensors |
//! | [`card`] | what a version was trained on and how good it is |
//! | [`by_key`] | errors of forecasts -> comparisons in which no key counts more than another |
//! | [`folds`] | measures of a cross-validation |
//! | [`gate`] | whether a version may serve by what its card says |
//! | [`store`], [`error`] | the folder of a model: its versions, its champion, and every promotion; why it cannot be read |
//!
//! *Invariant.* A version never changes once it is there. Which one serves changes by promotion and roll-back alone; both are
//! recorded, and a version that was worse than the champion on rows that neither had seen is never promoted. One that could not be
//! compared is promoted only where somebody asked for that, with a reason; the record says so.
//!
//! *Invariant.* What cannot be read back is not added: a version holds numbers alone, and so does its card.

pub mod by_key;
pub mod card;
pub mod error;
pub mod folds;
pub mod gate;
pub mod mlp_tensors;
pub mod store;
pub mod tensors;

pub use card::{
    BASE_RATE, Card, ClassCard, Compared, ForecastCard, HorizonErrors, Incomparable, KeyErrors, Kind, NotCompared,
    NotFitted, REGRESSION,
};
pub use error::StoreError;
pub use store::{Gate, Network, Promotion, Store, Version};
