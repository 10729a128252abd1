//! Settings of drift detection -> checked parameters. No data.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::usual::LABELS_MIN;

/// What a detection does to the model of its key and horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftEffect {
    /// Nothing: it is told.
    #[default]
    None,
    /// It forgets faster for some labels.
    Forget,
    /// It starts anew from `min_history`.
    Rewarm,
}

impl DriftEffect {
    /// Its word in the file and in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Forget => "forget",
            Self::Rewarm => "rewarm",
        }
    }
}

/// What finds a rise of the errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DetectorSettings {
    /// Adaptive windowing.
    Adwin {
        /// Probability of a false cut.
        delta: f64,
    },
    /// The Page-Hinkley test.
    PageHinkley {
        /// How far the mean error may rise, in usual errors.
        delta: f64,
        /// How much more may add up, likewise.
        threshold: f64,
    },
}

impl DetectorSettings {
    /// Its word in the file and in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adwin { .. } => "adwin",
            Self::PageHinkley { .. } => "page_hinkley",
        }
    }
}

/// Drift detection as the pipeline file describes it; unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftSettings {
    /// What finds it.
    pub detector: DetectorSettings,
    /// What it does.
    pub effect: DriftEffect,
    /// Forgetting factor of the effect `forget`.
    pub forgetting: Option<f64>,
    /// Labels that it lasts.
    pub forgetting_labels: Option<u32>,
    /// Labels of a key and horizon before its detector begins.
    pub min_labels: u32,
    /// Zone of the time of day.
    pub zone: Tz,
}

/// Why drift cannot be looked for like that.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// A number out of its range.
    #[error("{} {value} is not {allowed}", name.rsplit('.').next().unwrap_or(name))]
    Range {
        /// The setting, as a path.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A setting of another effect.
    #[error("{name} has no use with the effect `{effect}`")]
    Unused {
        /// The setting.
        name: &'static str,
        /// The effect.
        effect: &'static str,
    },
    /// None of the predictor's models can take the effect.
    #[error("the effect `{effect}` cannot be had: {models} cannot take it for one key alone")]
    Unsupported {
        /// The effect.
        effect: &'static str,
        /// The models.
        models: String,
    },
}

impl DriftError {
    /// The setting at fault, as a path below `drift`.
    #[must_use]
    pub fn setting(&self) -> &str {
        match self {
            Self::Range { name, .. } | Self::Unused { name, .. } => name,
            Self::Unsupported { .. } => "effect",
        }
    }
}

/// How drift is looked for and what it does, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftParams {
    pub(super) detector: DetectorSettings,
    pub(super) min_labels: u32,
    pub(super) zone: Tz,
    /// What it does.
    pub effect: DriftEffect,
    /// Forgetting factor of the effect `forget`.
    pub forgetting: f64,
    /// Labels that it lasts.
    pub forgetting_labels: u32,
}

/// A memory of 50 labels.
const FORGETTING: f64 = 0.98;
/// After these, what was learned before weighs a four-hundredth of what it did.
const FORGETTING_LABELS: u32 = 300;

impl DriftParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DriftError`] names the setting; correct it in the pipeline file.
    pub fn new(settings: &DriftSettings) -> Result<Self, DriftError> {
        let range = |name, value: f64, fine: bool, allowed| {
            if fine { Ok(()) } else { Err(DriftError::Range { name, value, allowed }) }
        };
        match settings.detector {
            DetectorSettings::Adwin { delta } => {
                range("detector.adwin.delta", delta, delta > 0.0 && delta < 1.0, "above 0 and below 1")?;
            }
            DetectorSettings::PageHinkley { delta, threshold } => {
                let (fine, allowed) = (delta >= 0.0 && delta.is_finite(), "a number from 0 up");
                range("detector.page_hinkley.delta", delta, fine, allowed)?;
                let fine = threshold > 0.0 && threshold.is_finite();
                range("detector.page_hinkley.threshold", threshold, fine, "a positive number")?;
            }
        }
        let effect = settings.effect;
        let given = [
            ("forgetting", settings.forgetting.is_some()),
            ("forgetting_labels", settings.forgetting_labels.is_some()),
        ];
        if effect != DriftEffect::Forget
            && let Some((name, _)) = given.into_iter().find(|(_, given)| *given)
        {
            return Err(DriftError::Unused { name, effect: effect.name() });
        }
        let forgetting = settings.forgetting.unwrap_or(FORGETTING);
        range("forgetting", forgetting, forgetting > 0.0 && forgetting < 1.0, "above 0 and below 1")?;
        let forgetting_labels = settings.forgetting_labels.unwrap_or(FORGETTING_LABELS);
        range("forgetting_labels", f64::from(forgetting_labels), forgetting_labels > 0, "1 or more")?;
        let DriftSettings { detector, min_labels, zone, .. } = *settings;
        range("min_labels", f64::from(min_labels), min_labels >= LABELS_MIN, "30 or more")?;
        Ok(Self { detector, min_labels, zone, effect, forgetting, forgetting_labels })
    }

    /// The detector's word.
    #[must_use]
    pub const fn detector(&self) -> &'static str {
        self.detector.name()
    }
}
