//! The parts that a program registers by name: explicitly, never by linking.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::source::{Source, SourceError, Until};

use crate::stages::alert::RuleFactory;
use crate::stages::clean::StepFactory;
use crate::stages::custom::CustomSettings;
use crate::stages::predict::ModelFactory;

/// What a registered source or ledger is opened for.
#[derive(Debug, Clone, Copy)]
pub struct OpenRequest<'a> {
    /// The worker's stable name.
    pub slot: &'a str,
    /// How long a source is read.
    pub until: Until,
    /// Partitions of each of the source's topics; none while the source itself is opened.
    pub partition_counts: &'a [u32],
    /// Names of the pipeline's sinks, by the number that records of a ledger carry; the last is the control log.
    pub sinks: &'a [String],
    /// `settings:` in the file.
    pub settings: CustomSettings<'a>,
}

/// Opens a registered source.
pub type OpenSource = Arc<dyn Fn(&OpenRequest<'_>) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;
/// Opens a registered ledger.
pub type OpenLedger = Arc<dyn Fn(&OpenRequest<'_>) -> Result<Box<dyn Ledger>, LedgerError> + Send + Sync>;

/// Registered parts by name.
#[derive(Clone, Default)]
pub struct Parts {
    /// Sources.
    pub sources: BTreeMap<String, OpenSource>,
    /// Ledgers.
    pub ledgers: BTreeMap<String, OpenLedger>,
    /// Models.
    pub models: BTreeMap<String, ModelFactory>,
    /// Cleaning steps.
    pub clean_steps: BTreeMap<String, StepFactory>,
    /// Alert rules.
    pub alert_rules: BTreeMap<String, RuleFactory>,
    /// Whether trained networks are looked for.
    pub networks: Networks,
}

/// Which networks a plan has where the file names an `artefact`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Networks {
    /// The version that serves.
    #[default]
    Serving,
    /// Those that begin with nothing: a pipeline's own tests say the same wherever they run, with its models' folders or without.
    Fresh,
    /// Those that are yet to be trained: rows are only gathered for them.
    ToTrain,
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").finish_non_exhaustive()
    }
}
