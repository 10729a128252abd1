//! `artefact:` folders -> the versions of networks that serve, read, and what each network starts from.

use std::path::{Path, PathBuf};

use super::file::PipelineFile;
use super::model::PipelineSpec;
#[cfg(feature = "neural")]
use super::model::{ExpertSpec, MlpClassifierSpec, MlpSpec, ModelSpec};
#[cfg(feature = "neural")]
use crate::models::{Kind, Store, StoreError};
#[cfg(feature = "neural")]
use crate::stages::predict::trainable::Place;

/// A network that neither learns nor was trained.
#[cfg(feature = "neural")]
#[derive(Debug, thiserror::Error)]
#[error("`online: false` without `artefact`: such a network would never know anything")]
struct NeverLearns;

/// A trained network that knows other keys.
#[cfg(feature = "neural")]
#[derive(Debug, thiserror::Error)]
#[error("trained network {version} does not fit: it knows keys of {trained}; the windows are of {key}")]
struct OtherKey {
    version: String,
    trained: String,
    key: String,
}

/// A trained network that tells something else.
#[cfg(feature = "neural")]
#[derive(Debug, thiserror::Error)]
#[error("trained network {version} does not fit: it tells `{trained}`; the predictor's target is `{target}`")]
struct OtherTarget {
    version: String,
    trained: String,
    target: String,
}

/// What a network with an `artefact` starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkStart {
    /// Where it stands in the file.
    pub place: String,
    /// Its predictor.
    pub predictor: String,
    /// The folder.
    pub folder: PathBuf,
    /// What is there.
    pub start: Start,
}

/// What an `artefact` folder has for a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The folder is not there: it begins with nothing.
    NoFolder,
    /// No version serves: likewise.
    NoneServes,
    /// A version that serves.
    Version {
        /// Which, as `v3`.
        version: String,
        /// The pipeline and the predictor that it was trained for.
        trained_for: (String, String),
        /// Times of the first and the last row that it was trained on, RFC 3339.
        data: (String, String),
        /// Of forecasts, the time before which all labels were learned: those of the last row are later than it.
        hold_out_from: Option<String>,
    },
}

impl NetworkStart {
    /// What whoever runs the pipeline of this name should know; `None` where all is as it should be.
    #[must_use]
    pub fn note(&self, pipeline: &str) -> Option<String> {
        let (place, folder) = (&self.place, self.folder.display());
        match &self.start {
            Start::NoFolder => Some(format!(
                "`{place}` STARTS UNTRAINED: the folder `{folder}` of its `artefact` is not there; mount it, or correct the path, \
                 or let `arterial train` make it"
            )),
            Start::NoneServes => Some(format!(
                "`{place}` STARTS UNTRAINED: no version of `{folder}` serves; `arterial train`, then `arterial models promote`"
            )),
            Start::Version { version, trained_for: (of, predictor), .. }
                if of != pipeline || *predictor != self.predictor =>
            {
                Some(format!(
                    "{version} of `{folder}`, which `{place}` starts from, was trained for predictor `{predictor}` of pipeline `{of}`"
                ))
            }
            Start::Version { .. } => None,
        }
    }
}

/// Trained networks by the folder that the file names.
#[cfg(feature = "neural")]
#[derive(Default)]
pub(super) struct TrainedModels {
    pub(super) classes:
        std::collections::BTreeMap<String, std::sync::Arc<crate::stages::predict::neural::fit::Pretrained>>,
    pub(super) forecasts:
        std::collections::BTreeMap<String, std::sync::Arc<crate::stages::predict::neural::PretrainedMlp>>,
}
/// Without networks there are none.
#[cfg(not(feature = "neural"))]
pub(super) struct TrainedModels;

#[cfg(not(feature = "neural"))]
#[expect(clippy::unnecessary_wraps, reason = "with networks it may find problems")]
pub(super) fn read(
    _file: &mut PipelineFile,
    _spec: &PipelineSpec,
    _folder: &Path,
) -> Option<(TrainedModels, Vec<NetworkStart>)> {
    Some((TrainedModels, Vec::new()))
}

/// Every trained network, and what each network with an `artefact` starts from; `None` after the problems went to the file.
#[cfg(feature = "neural")]
pub(super) fn read(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    folder: &Path,
) -> Option<(TrainedModels, Vec<NetworkStart>)> {
    use super::parts::Networks;
    let (mut read, mut starts, mut all) = (TrainedModels::default(), Vec::new(), true);
    if file.parts().networks == Networks::ToTrain {
        return Some((read, starts));
    }
    for network in networks(spec) {
        let Some(artefact) = network.artefact else {
            if !network.online {
                all = false;
                let hint = "name the folder where `arterial train` puts its versions: `artefact: models/NAME`";
                report(file, network.place().key("online"), NeverLearns, hint);
            }
            continue;
        };
        if file.parts().networks == Networks::Fresh {
            continue;
        }
        let place = network.place().key("artefact");
        let start = match read.take(&network, artefact, folder) {
            Ok(start) => start,
            Err(error) => {
                all = false;
                let hint = error.hint();
                report(file, place, error, hint);
                continue;
            }
        };
        all &= fits(file, spec, (&network, &start), read.forecasts.get(artefact).map(|one| one.key.as_slice()));
        starts.push(NetworkStart {
            place: network.place().to_string(),
            predictor: network.place.predictor.to_owned(),
            folder: folder.join(artefact),
            start: start.start,
        });
    }
    all.then_some((read, starts))
}

#[cfg(feature = "neural")]
fn report(file: &mut PipelineFile, path: crate::vocab::YamlPath, error: impl std::error::Error, hint: &str) {
    file.report(&crate::vocab::At { path, error, hint: Some(hint.to_owned()) });
}

/// Whether a version tells what the predictor is about, of the keys that the windows have; if not, the file is told.
#[cfg(feature = "neural")]
fn fits(
    file: &mut PipelineFile,
    spec: &PipelineSpec,
    (network, taken): (&Network<'_>, &Taken),
    trained_key: Option<&[String]>,
) -> bool {
    let Start::Version { version, .. } = &taken.start else { return true };
    let place = network.place().key("artefact");
    let target = spec.predict.get(network.place.predictor).map(|predict| &predict.target);
    if let (Some(trained), Some(target)) =
        (&taken.target, target.filter(|target| Some(*target) != taken.target.as_ref()))
    {
        let error = OtherTarget { version: version.clone(), trained: trained.clone(), target: target.clone() };
        report(file, place, error, "name another folder, or train for this predictor into one of its own");
        return false;
    }
    let key_of = |columns: &[String]| columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
    if let Some(key) = trained_key.filter(|key| *key != spec.window.key) {
        let error = OtherKey { version: version.clone(), trained: key_of(key), key: key_of(&spec.window.key) };
        report(file, place, error, "train again for this pipeline, into another folder");
        return false;
    }
    true
}

/// What was found in a folder.
#[cfg(feature = "neural")]
struct Taken {
    start: Start,
    /// The column that the version tells of.
    target: Option<String>,
}

/// A network as a file has it.
#[cfg(feature = "neural")]
struct Network<'a> {
    place: Place<'a>,
    kind: Kind,
    artefact: Option<&'a String>,
    online: bool,
}

#[cfg(feature = "neural")]
impl Network<'_> {
    fn place(&self) -> crate::vocab::YamlPath {
        let Place { predictor, challenger, expert } = self.place;
        let own = crate::vocab::YamlPath::default().key("predict").key(predictor);
        let model = match challenger {
            Some(challenger) => own.key("challengers").key(challenger),
            None => own.key("model"),
        };
        let model = match expert {
            Some(expert) => model.key("mix").key("experts").key(expert),
            None => model,
        };
        model.key(self.kind.name())
    }
}

/// Every network.
#[cfg(feature = "neural")]
fn networks(spec: &PipelineSpec) -> Vec<Network<'_>> {
    let mut networks = Vec::new();
    for (predictor, predict) in &spec.predict {
        let own = Place { predictor, challenger: None, expert: None };
        let challengers = predict.challengers.iter();
        let challengers = challengers.map(|(name, model)| (Place { challenger: Some(name), ..own }, model));
        for (place, model) in std::iter::once((own, &predict.model)).chain(challengers) {
            networks.extend(networks_of(place, model));
        }
    }
    networks
}

/// Those of one model.
#[cfg(feature = "neural")]
fn networks_of<'a>(place: Place<'a>, model: &'a ModelSpec) -> Vec<Network<'a>> {
    fn classes<'a>(place: Place<'a>, spec: &'a MlpClassifierSpec) -> Network<'a> {
        Network { place, kind: Kind::MlpClassifier, artefact: spec.artefact.as_ref(), online: spec.online }
    }
    fn forecasts<'a>(place: Place<'a>, spec: &'a MlpSpec) -> Network<'a> {
        Network { place, kind: Kind::Mlp, artefact: spec.artefact.as_ref(), online: spec.online }
    }
    match model {
        ModelSpec::MlpClassifier(spec) => vec![classes(place, spec)],
        ModelSpec::Mlp(spec) => vec![forecasts(place, spec)],
        ModelSpec::Mix(mix) => {
            let network = |(name, expert): (&'a String, &'a ExpertSpec)| {
                let place = Place { expert: Some(name), ..place };
                match expert {
                    ExpertSpec::MlpClassifier(spec) => Some(classes(place, spec)),
                    ExpertSpec::Mlp(spec) => Some(forecasts(place, spec)),
                    _ => None,
                }
            };
            mix.experts.iter().filter_map(network).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(feature = "neural")]
impl TrainedModels {
    /// Reads the version of a network that serves. One that learns needs none.
    fn take(&mut self, network: &Network<'_>, artefact: &str, folder: &Path) -> Result<Taken, StoreError> {
        use crate::stages::predict::neural::{PretrainedMlp, fit::Pretrained};
        let store = Store::new(&folder.join(artefact));
        let Some(serves) = store.champion()? else {
            let start = if store.folder().is_dir() { Start::NoneServes } else { Start::NoFolder };
            return match (network.online, &start) {
                (true, _) => Ok(Taken { start, target: None }),
                (false, Start::NoFolder) => Err(StoreError::NoFolder { folder: store.folder().to_owned() }),
                (false, _) => Err(StoreError::NoChampion { folder: store.folder().to_owned() }),
            };
        };
        let card = store.card(serves)?;
        let ((pipeline, predictor, target), data) = (card.trained_for(), card.data());
        let taken = Taken {
            start: Start::Version {
                version: serves.to_string(),
                trained_for: (pipeline.to_owned(), predictor.to_owned()),
                data: (data.0.to_owned(), data.1.to_owned()),
                hold_out_from: card.hold_out_from().map(str::to_owned),
            },
            target: Some(target.to_owned()),
        };
        let version = serves.to_string();
        match network.kind {
            Kind::MlpClassifier => {
                let (trained, card) = store.load_classes(serves)?;
                let (hash, features) = (card.model_hash, card.features);
                let pretrained = Pretrained { version, hash, features, trained };
                self.classes.insert(artefact.to_owned(), std::sync::Arc::new(pretrained));
            }
            Kind::Mlp => {
                let (trained, card) = store.load_forecasts(serves)?;
                let (hash, key, shape) = (card.model_hash, card.key, card.network);
                let pretrained = PretrainedMlp { version, hash, key, shape, trained };
                self.forecasts.insert(artefact.to_owned(), std::sync::Arc::new(pretrained));
            }
        }
        Ok(taken)
    }
}

/// Where a network stands in the file, as text, and the folder of its versions.
#[cfg(all(feature = "neural", feature = "cli"))]
pub(crate) type NamedFolder = (String, PathBuf);

/// A pipeline file whose networks are yet to be trained: its plan, and where it says that trained versions are.
///
/// # Errors
/// All problems of the file together.
#[cfg(all(feature = "neural", feature = "cli"))]
pub(crate) fn load_plan_to_train(path: &Path) -> Result<(super::PipelinePlan, Vec<NamedFolder>), super::SpecErrors> {
    let folder = super::folder_of(path);
    let mut registry = super::Registry::connecting(folder);
    registry.parts.networks = super::parts::Networks::ToTrain;
    let file = PipelineFile::load(path, &registry);
    let spec = file.spec().cloned();
    let plan = file.plan(folder, &std::collections::BTreeMap::new())?;
    let networks = spec.iter().flat_map(networks);
    let named = networks.filter_map(|network| {
        let artefact = folder.join(network.artefact?);
        Some((network.place.to_string(), artefact))
    });
    Ok((plan, named.collect()))
}
