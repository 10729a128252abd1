//! `artefact:` folders -> the versions of networks that serve, read.

use std::path::Path;

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
pub(super) fn read(_file: &mut PipelineFile, _spec: &PipelineSpec, _folder: &Path) -> Option<TrainedModels> {
    Some(TrainedModels)
}

/// Every trained network; `None` after the problems went to the file.
#[cfg(feature = "neural")]
pub(super) fn read(file: &mut PipelineFile, spec: &PipelineSpec, folder: &Path) -> Option<TrainedModels> {
    use crate::vocab::At;
    let mut read = TrainedModels::default();
    let mut all = true;
    if file.parts().untrained {
        return Some(read);
    }
    for network in networks(spec) {
        let Some(artefact) = network.artefact else {
            if !network.online {
                all = false;
                let hint =
                    "name the folder where `arterial train` puts its versions: `artefact: models/NAME`".to_owned();
                file.report(&At { path: network.place().key("online"), error: NeverLearns, hint: Some(hint) });
            }
            continue;
        };
        match read.take(&network, artefact, folder) {
            // It begins to learn with the first label.
            Err(StoreError::NoChampion { .. }) if network.online => {}
            Ok(()) => {}
            Err(error) => {
                all = false;
                let hint = Some(error.hint().to_owned());
                file.report(&At { path: network.place().key("artefact"), error, hint });
            }
        }
        let key_of =
            |columns: &[String]| columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
        if let Some(pretrained) = read.forecasts.get(artefact).filter(|pretrained| pretrained.key != spec.window.key) {
            all = false;
            let (version, trained) = (pretrained.version.clone(), key_of(&pretrained.key));
            let error = OtherKey { version, trained, key: key_of(&spec.window.key) };
            let hint = Some("train again for this pipeline, into another folder".to_owned());
            file.report(&At { path: network.place().key("artefact"), error, hint });
        }
    }
    all.then_some(read)
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
    /// Reads the version of a network that serves.
    fn take(&mut self, network: &Network<'_>, artefact: &str, folder: &Path) -> Result<(), StoreError> {
        use crate::stages::predict::neural::{PretrainedMlp, fit::Pretrained};
        let store = Store::new(&folder.join(artefact));
        let Some(serves) = store.champion()? else {
            return Err(StoreError::NoChampion { folder: store.folder().to_owned() });
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
        Ok(())
    }
}

/// Where a network stands in the file, as text, and the folder of its versions.
#[cfg(all(feature = "neural", feature = "cli"))]
pub(crate) type NamedFolder = (String, std::path::PathBuf);

/// A pipeline file whose networks are yet to be trained: its plan, and where it says that trained versions are.
///
/// # Errors
/// All problems of the file together.
#[cfg(all(feature = "neural", feature = "cli"))]
pub(crate) fn load_plan_to_train(path: &Path) -> Result<(super::PipelinePlan, Vec<NamedFolder>), super::SpecErrors> {
    let folder = super::folder_of(path);
    let mut registry = super::Registry::connecting(folder);
    registry.parts.untrained = true;
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
