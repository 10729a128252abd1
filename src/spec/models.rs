//! `predict:` entries -> settings of predictors and of their models.

use chrono_tz::Tz;

use super::assemble::{micros, path, zone};
use super::model::{
    AdwinSpec, CustomSpec, DetectorSpec, DriftSpec, ExpertSpec, FtrlSpec, MixSpec, MlpClassifierSpec, MlpSpec,
    ModelSpec, OnlineLinearSpec, PageHinkleySpec, PredictSpec, PromotionSpec,
};
use super::parts::{Networks, Parts};
use super::trained::TrainedModels;
use crate::stages::predict::{
    DetectorSettings, DriftSettings, ExpertSettings, FtrlSettings, IntervalSettings, MixParams, MixSettings,
    MlpClassifierSettings, MlpSettings, ModelSettings, OnlineLinearSettings, PredictorSettings, ProfileSettings,
    PromotionSettings,
};
use crate::vocab::EventTime;

/// A predictor's settings; `None` where nobody registered its model.
pub(super) fn predictor_settings(
    name: &str,
    predict: &PredictSpec,
    parts: &Parts,
    trained: &TrainedModels,
) -> Option<PredictorSettings> {
    let baselines = &predict.baselines;
    let model = |model| model_settings(model, zone(baselines.timezone.as_ref()), parts, trained);
    let challengers = predict.challengers.iter().map(|(name, challenger)| Some((name.clone(), model(challenger)?)));
    Some(PredictorSettings {
        path: path(&["predict", name]),
        name: name.to_owned(),
        target: predict.target.clone(),
        task: predict.task,
        threshold: predict.threshold.unwrap_or(0.5),
        horizons_micros: predict.horizons.iter().map(|span| span.micros).collect(),
        features: predict.features.clone(),
        min_history_micros: predict.min_history.micros,
        model: model(&predict.model)?,
        challengers: challengers.collect::<Option<_>>()?,
        champion: predict.champion.clone(),
        promotion: predict.promotion.as_ref().map(|&PromotionSpec { by, over, margin, min_labels }| {
            PromotionSettings { by, over_micros: over.micros, margin, min_labels }
        }),
        profile: ProfileSettings {
            period: baselines.period,
            slot_micros: baselines.slot.micros,
            zone: zone(baselines.timezone.as_ref()),
            smooth: baselines.smooth,
            memory: baselines.memory,
            min_values: baselines.min_values,
        },
        intervals: predict.intervals.as_ref().map(|intervals| IntervalSettings {
            coverage: intervals.coverage,
            zone: zone(intervals.timezone.as_ref().or(baselines.timezone.as_ref())),
        }),
        drift: predict.drift.as_ref().map(|drift| drift_settings(drift, zone(baselines.timezone.as_ref()))),
        explain: predict.explain,
        minimum: predict.minimum,
        maximum: predict.maximum,
        // The rules have refused what is not RFC 3339.
        score_from: predict.score_from.as_ref().and_then(|text| micros(text)).map(EventTime),
        score_by: predict.score_by,
    })
}

/// `usual` is the zone where none is named.
fn drift_settings(drift: &DriftSpec, usual: Tz) -> DriftSettings {
    DriftSettings {
        detector: match drift.detector {
            DetectorSpec::Adwin(AdwinSpec { delta }) => DetectorSettings::Adwin { delta },
            DetectorSpec::PageHinkley(PageHinkleySpec { delta, threshold }) => {
                DetectorSettings::PageHinkley { delta, threshold }
            }
        },
        effect: drift.effect,
        forgetting: drift.forgetting,
        forgetting_labels: drift.forgetting_labels,
        min_labels: drift.min_labels,
        zone: drift.timezone.as_ref().map_or(usual, |name| zone(Some(name))),
    }
}

/// `usual` is the zone of a network that names none.
fn model_settings(model: &ModelSpec, usual: Tz, parts: &Parts, trained: &TrainedModels) -> Option<ModelSettings> {
    Some(match model {
        ModelSpec::OnlineLinear(linear) => ModelSettings::One(ExpertSettings::OnlineLinear(linear_settings(linear))),
        ModelSpec::Mlp(mlp) => ModelSettings::One(ExpertSettings::Mlp(mlp_settings(mlp, usual, parts, trained))),
        ModelSpec::Ftrl(ftrl) => ModelSettings::One(ExpertSettings::Ftrl(ftrl_settings(ftrl))),
        ModelSpec::MlpClassifier(network) => {
            ModelSettings::One(ExpertSettings::MlpClassifier(classifier_settings(network, parts, trained)))
        }
        ModelSpec::Custom(custom) => ModelSettings::One(custom_settings(custom, parts)?),
        ModelSpec::Mix(mix) => {
            let named = |(name, expert): (&String, &ExpertSpec)| {
                Some((name.clone(), expert_settings(expert, usual, parts, trained)?))
            };
            let MixSpec { rate, forgetting, floor, shared, .. } = *mix;
            ModelSettings::Mix(MixSettings {
                experts: mix.experts.iter().map(named).collect::<Option<_>>()?,
                params: MixParams { rate, forgetting, floor, shared },
            })
        }
    })
}

fn expert_settings(expert: &ExpertSpec, usual: Tz, parts: &Parts, trained: &TrainedModels) -> Option<ExpertSettings> {
    Some(match expert {
        ExpertSpec::OnlineLinear(linear) => ExpertSettings::OnlineLinear(linear_settings(linear)),
        ExpertSpec::Mlp(mlp) => ExpertSettings::Mlp(mlp_settings(mlp, usual, parts, trained)),
        ExpertSpec::Ftrl(ftrl) => ExpertSettings::Ftrl(ftrl_settings(ftrl)),
        ExpertSpec::MlpClassifier(network) => {
            ExpertSettings::MlpClassifier(classifier_settings(network, parts, trained))
        }
        ExpertSpec::Feature(column) => ExpertSettings::Feature(column.clone()),
        ExpertSpec::Custom(custom) => custom_settings(custom, parts)?,
    })
}

fn custom_settings(custom: &CustomSpec, parts: &Parts) -> Option<ExpertSettings> {
    let (name, settings) = (custom.name.clone(), custom.settings.clone());
    Some(ExpertSettings::Custom { factory: parts.models.get(&name)?.clone(), name, settings })
}

fn linear_settings(linear: &OnlineLinearSpec) -> OnlineLinearSettings {
    OnlineLinearSettings {
        features: linear.features.clone(),
        forgetting: linear.forgetting,
        loss: linear.loss,
        scale: linear.scale,
        initial_covariance: linear.initial_covariance,
        ridge: linear.ridge,
        bias: linear.bias,
        start: linear.start,
        huber_delta: linear.huber_delta,
        trace_max: linear.trace_max,
    }
}

fn ftrl_settings(ftrl: &FtrlSpec) -> FtrlSettings {
    let FtrlSpec { alpha, beta, l1, l2, .. } = *ftrl;
    FtrlSettings { features: ftrl.features.clone(), alpha, beta, l1, l2 }
}

#[cfg_attr(not(feature = "neural"), expect(unused_variables, reason = "networks alone were trained"))]
fn classifier_settings(network: &MlpClassifierSpec, parts: &Parts, trained: &TrainedModels) -> MlpClassifierSettings {
    MlpClassifierSettings {
        features: network.features.clone(),
        hidden: network.hidden.clone(),
        dropout: network.dropout,
        min_labels: network.min_labels,
        steps: network.steps,
        batch: network.batch,
        learning_rate: network.learning_rate,
        weight_decay: network.weight_decay,
        average: network.average,
        replay_rows: network.replay.rows,
        seed: network.seed,
        // Rows are only gathered for one that is yet to be trained: what it would learn meanwhile is thrown away.
        online: network.online && parts.networks != Networks::ToTrain,
        #[cfg(feature = "neural")]
        pretrained: network.artefact.as_ref().and_then(|folder| trained.classes.get(folder).cloned()),
    }
}

#[cfg_attr(not(feature = "neural"), expect(unused_variables, reason = "networks alone were trained"))]
fn mlp_settings(mlp: &MlpSpec, usual: Tz, parts: &Parts, trained: &TrainedModels) -> MlpSettings {
    MlpSettings {
        features: mlp.features.clone(),
        anchors: mlp.anchors.clone(),
        width: mlp.width,
        blocks: mlp.blocks,
        dropout: mlp.dropout,
        loss: mlp.loss,
        zone: mlp.timezone.as_ref().map_or(usual, |name| zone(Some(name))),
        slot_micros: mlp.slot.map(|span| span.micros),
        steps: mlp.steps,
        batch: mlp.batch,
        learning_rate: mlp.learning_rate,
        weight_decay: mlp.weight_decay,
        average: mlp.average,
        replay_windows: mlp.replay.windows,
        replay_rows: mlp.replay.rows,
        replay_age_micros: mlp.replay.mean_age.micros,
        seed: mlp.seed,
        #[cfg(feature = "neural")]
        start: crate::stages::predict::neural::MlpStart {
            pretrained: mlp.artefact.as_ref().and_then(|folder| trained.forecasts.get(folder).cloned()),
            // Rows are only gathered for one that is yet to be trained: what it would learn meanwhile is thrown away.
            frozen: !mlp.online || parts.networks == Networks::ToTrain,
        },
    }
}
