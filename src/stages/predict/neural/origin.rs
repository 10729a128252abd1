//! The trained network that a state went on from, as the state says it. Whether the same serves now is asked here; what follows
//! from the answer is the models' own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fit::Pretrained;
use super::pretrained::PretrainedMlp;
use crate::vocab::StateError;

/// A trained network that a state went on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// blake3 of its weights: what says whether it is the same.
    hash: String,
    /// Its version, as `v3`, for whoever looks for it.
    version: String,
}

impl Origin {
    pub(super) fn of_classes(pretrained: &Arc<Pretrained>) -> Self {
        Self { hash: pretrained.hash.clone(), version: pretrained.version.clone() }
    }

    pub(super) fn of_forecasts(pretrained: &Arc<PretrainedMlp>) -> Self {
        Self { hash: pretrained.hash.clone(), version: pretrained.version.clone() }
    }

    /// Whether a state goes on under what is loaded now: not where another version takes over.
    ///
    /// # Errors
    /// [`StateError`] where a state went on from a trained network and none is loaded: what it learned would be dropped for weights
    /// that nobody trained.
    pub(super) fn goes_on(saved: Option<&Self>, loaded: Option<&Self>, step: &str) -> Result<bool, StateError> {
        match (saved, loaded) {
            (None, None) => Ok(true),
            (Some(saved), Some(loaded)) => Ok(saved.hash == loaded.hash),
            (None, Some(_)) => Ok(false),
            (Some(Self { hash, version }), None) => {
                let short: String = hash.chars().take(12).collect();
                let reason = format!(
                    "it went on from trained network {version} (blake3 {short}...), and none is loaded now: give the network \
                     its `artefact`, see that the folder is there and that a version of it serves (`arterial models ls`), or \
                     begin anew with `--reset`"
                );
                Err(StateError { step: step.to_owned(), block: 0, reason })
            }
        }
    }
}
