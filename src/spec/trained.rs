//! `artefact:` folders -> the versions of networks that serve, read.

use std::path::Path;

use super::file::PipelineFile;
use super::model::PipelineSpec;
#[cfg(feature = "neural")]
use super::model::{ExpertSpec, MlpClassifierSpec, ModelSpec};

/// A network that neither learns nor was trained.
#[cfg(feature = "neural")]
#[derive(Debug, thiserror::Error)]
#[error("`online: false` without `artefact`: such a network would never know anything")]
struct NeverLearns;

/// Trained networks by the folder that the file names.
#[cfg(feature = "neural")]
pub(super) type TrainedModels =
    std::collections::BTreeMap<String, std::sync::Arc<crate::stages::predict::neural::fit::Pretrained>>;
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
    let mut read = TrainedModels::new();
    let mut all = true;
    if file.parts().untrained {
        return Some(read);
    }
    for network in networks(spec) {
        let Some(artefact) = &network.spec.artefact else {
            if !network.spec.online {
                all = false;
                let path = network.place().key("mlp_classifier").key("online");
                let hint = Some(
                    "name the folder where `arterial train` puts its versions: `artefact: models/NAME`".to_owned(),
                );
                file.report(&At { path, error: NeverLearns, hint });
            }
            continue;
        };
        match champion(&folder.join(artefact)) {
            // It begins to learn with the first label.
            Err(crate::models::StoreError::NoChampion { .. }) if network.spec.online => {}
            Ok(trained) => drop(read.insert(artefact.clone(), std::sync::Arc::new(trained))),
            Err(error) => {
                all = false;
                let hint = Some(error.hint().to_owned());
                file.report(&At { path: network.place().key("mlp_classifier").key("artefact"), error, hint });
            }
        }
    }
    all.then_some(read)
}

/// A network of classes as a file has it.
#[cfg(feature = "neural")]
struct Network<'a> {
    predictor: &'a str,
    /// Its name among the experts that are mixed.
    expert: Option<&'a str>,
    spec: &'a MlpClassifierSpec,
}

#[cfg(feature = "neural")]
impl Network<'_> {
    fn place(&self) -> crate::vocab::YamlPath {
        let model = crate::vocab::YamlPath::default().key("predict").key(self.predictor).key("model");
        match self.expert {
            Some(expert) => model.key("mix").key("experts").key(expert),
            None => model,
        }
    }
}

/// Every network of classes.
#[cfg(feature = "neural")]
fn networks(spec: &PipelineSpec) -> Vec<Network<'_>> {
    let mut networks = Vec::new();
    for (predictor, predict) in &spec.predict {
        match &predict.model {
            ModelSpec::MlpClassifier(spec) => networks.push(Network { predictor, expert: None, spec }),
            ModelSpec::Mix(mix) => networks.extend(mix.experts.iter().filter_map(|(name, expert)| match expert {
                ExpertSpec::MlpClassifier(spec) => Some(Network { predictor, expert: Some(name), spec }),
                _ => None,
            })),
            _ => {}
        }
    }
    networks
}

/// The version of a model that serves.
#[cfg(feature = "neural")]
fn champion(folder: &Path) -> Result<crate::stages::predict::neural::fit::Pretrained, crate::models::StoreError> {
    let store = crate::models::Store::new(folder);
    let Some(version) = store.champion()? else {
        return Err(crate::models::StoreError::NoChampion { folder: folder.to_owned() });
    };
    let (trained, card) = store.load(version)?;
    let (version, hash, features) = (version.to_string(), card.model_hash, card.features);
    Ok(crate::stages::predict::neural::fit::Pretrained { version, hash, features, trained })
}

/// A predictor, its expert where it mixes several, and the folder of its network's versions.
#[cfg(all(feature = "neural", feature = "cli"))]
pub(crate) type NamedFolder = (String, Option<String>, std::path::PathBuf);

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
        let artefact = folder.join(network.spec.artefact.as_ref()?);
        Some((network.predictor.to_owned(), network.expert.map(str::to_owned), artefact))
    });
    Ok((plan, named.collect()))
}
