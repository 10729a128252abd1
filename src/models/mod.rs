//! Trained networks as versioned files: weights as safetensors, a card that says what they are, and which version serves.
//!
//! | module | what |
//! |---|---|
//! | [`tensors`] | a network <-> bytes of safetensors |
//! | [`card`] | what a version was trained on and how good it is |
//! | [`store`] | the folder of a model: its versions, its champion, and every promotion |
//!
//! *Invariant.* A version never changes once it is there. Which one serves changes by promotion and roll-back alone; both are
//! recorded, and a version that was worse than the champion on rows that neither had seen is never promoted.

pub mod card;
pub mod store;
pub mod tensors;

pub use card::{Card, Compared};
pub use store::{Promotion, Store, StoreError, Version};
