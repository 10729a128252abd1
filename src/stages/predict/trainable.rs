//! A plan -> its networks that can be trained on a history, and a plan that measures versions of one of them.

use std::fmt;
use std::sync::Arc;

use super::experts::{ExpertPlan, ModelPlan};
use super::neural::{MlpClassifierParams, MlpParams, MlpShape, MlpStart, PretrainedMlp};
use super::plan::{PredictPlan, PredictorPlan};
use super::settings::ScoreBy;
use crate::stages::features::FeatureColumn;
use crate::vocab::EventTime;

/// Where a network stands in the pipeline file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its predictor.
    pub predictor: &'a str,
    /// The predictor's challenger that it is, or is an expert of.
    pub challenger: Option<&'a str>,
    /// Its name among the experts that are mixed.
    pub expert: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    /// As arguments of `arterial train`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "--predictor {}", self.predictor)?;
        self.challenger.map_or(Ok(()), |challenger| write!(formatter, " --challenger {challenger}"))?;
        self.expert.map_or(Ok(()), |expert| write!(formatter, " --expert {expert}"))
    }
}

/// A network that can be trained, and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Trainable<'a> {
    /// Where it stands.
    pub place: Place<'a>,
    /// The window column that it is about, as an index.
    pub target: usize,
    /// The network.
    pub network: TrainableNetwork<'a>,
}

/// What can be trained.
#[derive(Debug, Clone, Copy)]
pub enum TrainableNetwork<'a> {
    /// A network of classes.
    Classes(TrainableClassifier<'a>),
    /// A network of forecasts that keys share.
    Forecasts(TrainableMlp<'a>),
}

/// A network of classes.
#[derive(Debug, Clone, Copy)]
pub struct TrainableClassifier<'a> {
    /// Its shape and how it learns.
    pub params: &'a MlpClassifierParams,
    /// What it reads of the predictor's columns, as indices and as columns.
    pub columns: &'a [(usize, FeatureColumn)],
    /// Least probability that means 1.
    pub threshold: f64,
}

/// A network of forecasts.
#[derive(Debug, Clone, Copy)]
pub struct TrainableMlp<'a> {
    /// Its shape and how it learns.
    pub params: &'a MlpParams,
    /// The columns that it reads.
    pub columns: &'a [FeatureColumn],
}

impl TrainableMlp<'_> {
    /// What it reads and says.
    #[must_use]
    pub fn shape(&self) -> MlpShape {
        MlpShape::new(self.params, self.columns)
    }
}

/// A version to be measured: the name of its predictor, the network, and the time from which on its forecasts count.
pub type Measured = (String, Option<Arc<PretrainedMlp>>, EventTime);

impl PredictPlan {
    /// The networks that can be trained on a history.
    pub fn trainable(&self) -> impl Iterator<Item = Trainable<'_>> {
        self.predictors.iter().flat_map(PredictorPlan::models).flat_map(|predictor| {
            predictor.experts.iter().filter_map(|expert| {
                let network = match &expert.model {
                    ModelPlan::MlpClassifier(params, columns) if columns.len() == 1 => {
                        let threshold = predictor.threshold.unwrap_or(0.5);
                        TrainableNetwork::Classes(TrainableClassifier { params, columns: &columns[0], threshold })
                    }
                    ModelPlan::Mlp(params, columns) => TrainableNetwork::Forecasts(TrainableMlp { params, columns }),
                    _ => return None,
                };
                Some(Trainable {
                    place: Place {
                        predictor: &predictor.name,
                        challenger: predictor.challenger.as_deref(),
                        expert: predictor.mix.map(|_| expert.name.as_str()),
                    },
                    target: predictor.target,
                    network,
                })
            })
        })
    }

    /// A network of forecasts alone, in the place of all predictors: one predictor for each of `versions`, by its name, that
    /// learns nothing. Scores of each count forecasts that are made from its time on.
    #[must_use]
    pub fn of_versions(&self, network: &Trainable<'_>, versions: &[Measured]) -> Self {
        let TrainableNetwork::Forecasts(TrainableMlp { params, columns }) = network.network else {
            return Self { predictors: Vec::new(), ..*self };
        };
        let own = self.predictors.iter().find(|predictor| predictor.name == network.place.predictor);
        let version = |predictor: &PredictorPlan, (name, pretrained, from): &Measured| {
            let start = MlpStart { pretrained: pretrained.clone(), frozen: true };
            let model = ModelPlan::Mlp(MlpParams { start, ..params.clone() }, columns.to_vec());
            let step = format!("predict.{name}");
            PredictorPlan {
                name: name.clone(),
                experts: vec![ExpertPlan { name: name.clone(), step: step.clone(), model }],
                step,
                challenger: None,
                challengers: Vec::new(),
                contest: None,
                mix: None,
                intervals: None,
                drift: None,
                observer: None,
                explain: false,
                score_from: *from,
                score_by: ScoreBy::Forecast,
                ..predictor.clone()
            }
        };
        let predictors = own.map(|own| versions.iter().map(|one| version(own, one)).collect());
        Self { predictors: predictors.unwrap_or_default(), ..*self }
    }
}
