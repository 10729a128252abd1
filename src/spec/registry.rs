//! What the checks ask of others: components bring their own rules along and are passed in. No link-time magic.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::source::{Source, SourceError};

use super::parts::{OpenRequest, Parts};
use super::secret::{SecretError, SecretText};
use crate::stages::alert::{PreparedRule, RuleFactory, RuleRequest};
use crate::stages::clean::{PreparedStep, StepFactory, StepRequest};
use crate::stages::custom::{Fresh, Refusal};
use crate::stages::predict::{ModelFactory, ModelRequest, OnlinePredictor};

/// A property that a connector refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyRefusal {
    /// The property.
    pub property: String,
    /// Why, as a sentence. It must not repeat the value: it may be secret.
    pub reason: String,
    /// What to do instead.
    pub hint: Option<String>,
}

/// Checks `kafka.properties`: everything that is refused.
pub type PropertyCheck = Box<dyn Fn(&BTreeMap<String, String>) -> Vec<PropertyRefusal> + Send + Sync>;

/// Looks whether a secret is where the file says.
pub type SecretCheck = Box<dyn Fn(&SecretText) -> Result<(), SecretError> + Send + Sync>;

/// What the checks of a pipeline file ask of its components.
pub struct Registry {
    /// The Kafka connector's opinion of `properties:`.
    pub kafka_properties: PropertyCheck,
    /// Whether secrets are there. Only verbs that connect ask: a file may be checked where its secrets are not.
    pub secrets: SecretCheck,
    /// Parts that the program brings along.
    pub parts: Parts,
}

impl Registry {
    /// With a source: `sources.NAME.custom`.
    #[must_use]
    pub fn source(
        mut self,
        name: &str,
        open: impl Fn(&OpenRequest<'_>) -> Result<Box<dyn Source>, SourceError> + Send + Sync + 'static,
    ) -> Self {
        self.parts.sources.insert(name.to_owned(), Arc::new(open));
        self
    }

    /// With a ledger: `ledger.custom`.
    #[must_use]
    pub fn ledger(
        mut self,
        name: &str,
        open: impl Fn(&OpenRequest<'_>) -> Result<Box<dyn Ledger>, LedgerError> + Send + Sync + 'static,
    ) -> Self {
        self.parts.ledgers.insert(name.to_owned(), Arc::new(open));
        self
    }

    /// With a model: `predict.NAME.model.custom`. The closure checks the settings and says how a partition's model is made.
    #[must_use]
    pub fn model(
        mut self,
        name: &str,
        prepare: impl Fn(&ModelRequest<'_>) -> Result<Fresh<dyn OnlinePredictor>, Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.parts.models.insert(name.to_owned(), ModelFactory::new(prepare));
        self
    }

    /// With a cleaning step: `- custom` under `clean:`. The closure checks the settings against the columns there are.
    #[must_use]
    pub fn clean_step(
        mut self,
        name: &str,
        prepare: impl Fn(&StepRequest<'_>) -> Result<PreparedStep, Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.parts.clean_steps.insert(name.to_owned(), StepFactory::new(prepare));
        self
    }

    /// With an alert rule: `alerts.NAME.custom`. The closure checks the settings against the columns there are.
    #[must_use]
    pub fn alert_rule(
        mut self,
        name: &str,
        prepare: impl Fn(&RuleRequest<'_>) -> Result<PreparedRule, Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.parts.alert_rules.insert(name.to_owned(), RuleFactory::new(prepare));
        self
    }

    /// The components that come with the engine.
    #[must_use]
    pub fn standard() -> Self {
        #[cfg(feature = "kafka")]
        return Self { kafka_properties: Box::new(kafka_refusals), ..Self::default() };
        #[cfg(not(feature = "kafka"))]
        Self::default()
    }

    /// The same for a verb that connects: secrets must be there. `folder`: where their relative paths start.
    #[must_use]
    pub fn connecting(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { secrets: Box::new(move |secret| secret.read(&folder).map(drop)), ..Self::standard() }
    }
}

impl Default for Registry {
    /// Refuses nothing.
    fn default() -> Self {
        Self { kafka_properties: Box::new(|_| Vec::new()), secrets: Box::new(|_| Ok(())), parts: Parts::default() }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// The Kafka connector's opinion of properties. Its errors name the property and never its value.
#[cfg(feature = "kafka")]
fn kafka_refusals(properties: &BTreeMap<String, String>) -> Vec<PropertyRefusal> {
    use arterial_connectors::kafka::{check_properties, is_secret};

    let (secrets, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        properties.iter().map(|(key, value)| (key.clone(), value.clone())).partition(|(key, _)| is_secret(key));
    let secrets = secrets.into_keys().map(|property| PropertyRefusal {
        reason: format!("property `{property}` is a secret, and none may stand in a pipeline file"),
        hint: Some("name its place in the `security` block, as `password: env:NAME` or `key: file:PATH`".to_owned()),
        property,
    });
    let refusal = |error: arterial_connectors::kafka::PropertyError| PropertyRefusal {
        property: error.name().to_owned(),
        reason: error.to_string(),
        hint: None,
    };
    secrets.chain(check_properties(&others).into_iter().map(refusal)).collect()
}
