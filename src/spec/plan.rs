//! A pipeline file -> [`PipelinePlan`], valid by construction: what `runtime` is built from. Every stage checks its own
//! part against the columns that the stage before it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::assemble::{Stages, assemble};
use super::file::PipelineFile;
use super::model::{
    Delivery, EARLIEST, EncodeSpec, FileSourceSpec, FolderFormat, FolderSinkSpec, LedgerSpec, Output, PipelineSpec,
    SinkSpec, SourceSpec, TestRow, TestSpec,
};
use super::parts::{Networks, Parts};
use super::problem::SpecErrors;
use super::registry::Registry;
use super::trained::NetworkStart;
use super::version::version;
use crate::schema::TopicSchema;
use crate::stages::alert::AlertPlan;
use crate::stages::clean::CleanPlan;
use crate::stages::decode::DecodePlan;
use crate::stages::encode::EncodeFormat;
use crate::stages::features::FeaturesPlan;
use crate::stages::predict::{Observer, PredictPlan};
use crate::stages::window::WindowPlan;
use crate::state::StatefulStep;

/// A checked pipeline, shared by all workers.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// Its name.
    pub name: String,
    /// Hash of what it computes, without connections and how it is run: goes into dead letters.
    pub version: String,
    /// Name and settings of the source.
    pub source: SourceSpec,
    /// The topic that files stand for, where they take the place of one.
    stands_for: Option<String>,
    /// Folder of the pipeline file: relative paths start there.
    pub folder: std::path::PathBuf,
    /// What a reader of the outputs may rely on.
    pub delivery: Delivery,
    /// Where outputs, positions and state go instead of Kafka or memory.
    pub ledger: Option<LedgerSpec>,
    /// Parts that the embedding program registered.
    pub parts: Parts,
    /// Bytes to rows.
    pub decode: Arc<DecodePlan>,
    /// Rows to clean rows.
    pub clean: Arc<CleanPlan>,
    /// Rows to closed windows.
    pub window: Arc<WindowPlan>,
    /// Windows to feature matrices.
    pub features: Arc<FeaturesPlan>,
    /// Features to forecasts.
    pub predict: Arc<PredictPlan>,
    /// Forecasts to alerts.
    pub alerts: Arc<AlertPlan>,
    /// Where outputs go.
    pub sinks: SinkPlan,
    /// What depends on the wall clock.
    pub event_time: EventTimePlan,
    /// How it runs.
    pub runtime: RuntimePlan,
    /// Its own tests.
    pub tests: Vec<TestSpec>,
    /// What each network with an `artefact` starts from.
    pub networks: Vec<NetworkStart>,
    alert_expire_after: Vec<i64>,
    pub(super) stateful_steps: Vec<StatefulStep>,
    /// What the user wrote, for those who want to read it.
    pub(super) spec: Arc<PipelineSpec>,
    /// What is known of the decoded columns.
    pub(super) schema: Arc<TopicSchema>,
    /// Steps that the user resets.
    pub(super) reset: BTreeSet<String>,
}

/// Settings of event time that the runtime minds. Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimePlan {
    /// A partition without records for this long has its windows closed.
    pub idle_after_micros: Option<i64>,
    /// Partitions this far ahead of the slowest are paused.
    pub max_drift_micros: i64,
}

/// How a pipeline runs.
#[derive(Debug, Clone)]
pub struct RuntimePlan {
    /// Workers in this process.
    pub workers: u32,
    /// Name of this process among those that run the pipeline.
    pub instance: String,
    /// Whether workers are static members of their group.
    pub static_membership: bool,
    /// Time between commits at the head of the topic.
    pub commit_every: Duration,
    /// Longest time between commits while catching up.
    pub commit_every_max: Duration,
    /// Most rows between two commits.
    pub commit_rows_max: Option<u64>,
    /// Replication factor of the state and control topics.
    pub state_replication: Option<u32>,
    /// Address of the metrics server.
    pub listen: Option<SocketAddr>,
}

/// Sinks by number: the user's in the order of their names, then the control log.
#[derive(Debug, Clone, Default)]
pub struct SinkPlan {
    sinks: Vec<(String, SinkSpec)>,
    control: Option<u16>,
}

impl SinkPlan {
    /// Number of the sink that wants this output.
    #[must_use]
    pub fn sink(&self, output: Output) -> Option<u16> {
        self.sinks.iter().position(|(_, sink)| sink.from == output).map(|index| index as u16)
    }

    /// What goes to a sink; `None` for the control log.
    #[must_use]
    pub fn output(&self, sink: u16) -> Option<Output> {
        self.sinks.get(sink as usize).map(|(_, sink)| sink.from)
    }

    /// How a sink's records are written.
    #[must_use]
    pub fn format(&self, sink: u16) -> EncodeFormat {
        self.sinks.get(sink as usize).map_or(EncodeFormat::Json, |(_, sink)| sink.encode.format)
    }

    /// Number of the control log; `None` where decisions are not kept.
    #[must_use]
    pub fn control(&self) -> Option<u16> {
        self.control
    }

    /// Names of all sinks by number.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let control = self.control.map(|_| "control".to_owned());
        self.sinks.iter().map(|(name, _)| name.clone()).chain(control).collect()
    }

    /// The folder that is the ledger, as the file names it; `None` where none is.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        self.sinks.iter().find_map(|(_, sink)| sink.folder.as_ref()).map(|folder| folder.path.as_str())
    }

    /// The user's sinks by number, with their names.
    #[must_use]
    pub fn declared(&self) -> &[(String, SinkSpec)] {
        &self.sinks
    }
}

impl PipelineFile {
    /// Checks everything that can be known without the network. `folder`: where relative paths start.
    ///
    /// # Errors
    /// All problems together, by position; the operator corrects the file.
    pub fn plan(mut self, folder: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan, SpecErrors> {
        match self.plan_anyway(folder, tables) {
            Some(plan) if self.problems().is_empty() => Ok(plan),
            // Whatever gave no plan has reported why.
            _ => Err(self.into_errors()),
        }
    }

    /// The plan as far as its stages can be made, although there may be problems: to look at what the file names.
    pub(crate) fn plan_anyway(
        &mut self,
        folder: &Path,
        tables: &BTreeMap<String, Vec<TestRow>>,
    ) -> Option<PipelinePlan> {
        let spec = self.spec()?.clone();
        let stages = assemble(self, &spec, folder, tables)?;
        let parts = self.parts().clone();
        Some(PipelinePlan::new(spec, stages, folder, parts))
    }
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// All problems together.
pub fn load_plan(path: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan, SpecErrors> {
    PipelineFile::load(path, &Registry::standard()).plan(folder_of(path), tables)
}

/// Likewise for the file's own tests: networks begin with nothing there.
///
/// # Errors
/// All problems together.
pub fn load_plan_to_test(path: &Path, tables: &BTreeMap<String, Vec<TestRow>>) -> Result<PipelinePlan, SpecErrors> {
    let mut registry = Registry::standard();
    registry.parts.networks = Networks::Fresh;
    PipelineFile::load(path, &registry).plan(folder_of(path), tables)
}

/// Likewise for a verb that connects: the secrets that the file names must be there.
///
/// # Errors
/// All problems together.
pub fn load_plan_to_connect(path: &Path) -> Result<PipelinePlan, SpecErrors> {
    let folder = folder_of(path);
    PipelineFile::load(path, &Registry::connecting(folder)).plan(folder, &BTreeMap::new())
}

/// Where relative paths of a pipeline file start.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl PipelinePlan {
    fn new(spec: PipelineSpec, stages: Stages, folder: &Path, parts: Parts) -> Self {
        // Beside a ledger on Kafka or in a folder a `memory` sink is nowhere: without it sinks and topics have the same
        // numbers.
        let in_folder = spec.sinks.values().any(|sink| sink.folder.is_some());
        let kept = |sink: &SinkSpec| match stages.source.kafka {
            Some(_) => sink.kafka.is_some(),
            None => sink.folder.is_some() || !in_folder,
        };
        let sinks = spec.sinks.iter().filter(|(_, sink)| kept(sink));
        let sinks: Vec<(String, SinkSpec)> = sinks.map(|(name, sink)| (name.clone(), sink.clone())).collect();
        let control = Some(sinks.len() as u16);
        let runtime = &spec.runtime;
        Self {
            name: spec.pipeline.clone(),
            version: version(&spec),
            source: stages.source,
            stands_for: None,
            folder: folder.to_owned(),
            delivery: spec.delivery,
            ledger: spec.ledger.clone(),
            parts,
            stateful_steps: stages.stateful_steps,
            decode: stages.decode,
            clean: stages.clean,
            window: stages.window,
            features: stages.features,
            predict: stages.predict,
            alerts: stages.alerts,
            alert_expire_after: spec
                .alerts
                .values()
                .map(|alert| alert.expire_after(spec.keys.expire_after, spec.window.every()).micros)
                .collect(),
            sinks: SinkPlan { sinks, control },
            event_time: stages.event_time,
            runtime: RuntimePlan {
                workers: runtime.workers,
                instance: runtime.instance.clone(),
                static_membership: runtime.static_membership,
                commit_every: runtime.commit_every.duration(),
                commit_every_max: runtime.commit_every_max.duration(),
                commit_rows_max: runtime.commit_rows_max.map(u64::from),
                state_replication: runtime.state_replication,
                listen: runtime.listen.as_ref().and_then(|address| address.parse().ok()),
            },
            tests: spec.tests.clone(),
            networks: stages.networks,
            spec: Arc::new(spec),
            schema: stages.schema,
            reset: BTreeSet::new(),
        }
    }

    /// The name of a topic of the source by its number; of a source without topics, the source's kind.
    #[must_use]
    pub fn topic(&self, index: u16) -> &str {
        match (&self.source.kafka, &self.source.file) {
            (Some(kafka), _) => kafka.topics.get(index as usize).map_or("", String::as_str),
            (None, Some(file)) => self.stands_for.as_ref().unwrap_or(&file.path),
            (None, None) if self.source.feed.is_some() => "feed",
            (None, None) => self.source.custom.as_ref().map_or("simulate", |custom| custom.name.as_str()),
        }
    }

    /// The group whose offsets are committed.
    #[must_use]
    pub fn group(&self) -> String {
        let own = || format!("arterial.{}", self.name);
        self.source.kafka.as_ref().and_then(|kafka| kafka.group.clone()).unwrap_or_else(own)
    }

    /// The topic of windows, models and positions.
    #[must_use]
    pub fn state_topic(&self) -> String {
        format!("arterial.{}.state", self.name)
    }

    /// The topic of decisions by the wall clock.
    #[must_use]
    pub fn control_topic(&self) -> String {
        format!("arterial.{}.control", self.name)
    }

    /// The name that typed rows have for the column that says which partition a row belongs to.
    #[must_use]
    pub fn partition_column(&self) -> &str {
        self.path_of(&self.source.partitioned_by)
    }

    /// Where a payload has the event time.
    #[must_use]
    pub fn event_time_path(&self) -> &str {
        self.path_of(&self.source.event_time.column)
    }

    /// Where a payload has a column.
    fn path_of<'a>(&'a self, column: &'a str) -> &'a str {
        self.source.decode.paths.get(column).map_or(column, String::as_str)
    }

    /// The number of a topic of the source by its name; `None` where the plan does not read it.
    #[must_use]
    pub fn topic_index(&self, name: &str) -> Option<u16> {
        let count = self.source.kafka.as_ref().map_or(1, |kafka| kafka.topics.len());
        (0..count as u16).find(|index| self.topic(*index) == name)
    }

    /// How long an alert of this rule outlives its measure, microseconds.
    #[must_use]
    pub fn alert_expire_after(&self, rule: usize) -> i64 {
        self.alert_expire_after.get(rule).copied().unwrap_or(0)
    }

    /// Stateful steps in the order the data flows, and what their state is made with.
    #[must_use]
    pub fn stateful_steps(&self) -> &[StatefulStep] {
        &self.stateful_steps
    }

    /// The plan with scores that begin at another time.
    #[must_use]
    pub fn with_score_from(mut self, from: crate::vocab::EventTime) -> Self {
        self.predict = Arc::new(self.predict.with_score_from(from));
        self
    }

    /// The plan with someone who is shown all forecasts and their labels.
    #[must_use]
    pub fn with_observer(mut self, observer: &Observer) -> Self {
        self.predict = Arc::new(self.predict.with_observer(observer));
        self
    }

    /// The plan with other predictors in the place of its own, and without alerts, which read its own.
    #[must_use]
    pub fn with_predictors(mut self, predict: PredictPlan) -> Self {
        self.predict = Arc::new(predict);
        self.alerts = Arc::new(self.alerts.without_rules());
        self
    }

    /// The plan with files instead of its source; `path` relative to the pipeline file. Their rows are spread over
    /// so many partitions. In the place of a single topic they are told of by its name.
    #[must_use]
    pub fn with_file(mut self, path: String, partitions: u32) -> Self {
        if let Some([topic]) = self.source.kafka.take().as_ref().map(|kafka| kafka.topics.as_slice()) {
            self.stands_for = Some(topic.clone());
        }
        self.source.simulate = None;
        self.source.feed = None;
        self.source.custom = None;
        let csv = self.source.file.take().and_then(|file| file.csv);
        self.source.file = Some(FileSourceSpec { path, partitions, csv });
        self
    }

    /// The plan with windows that the end of a bounded run leaves open, for the run that goes on.
    #[must_use]
    pub fn with_open_end(mut self) -> Self {
        self.window = Arc::new(self.window.with_open_end());
        self
    }

    /// The plan that starts topics at their earliest record, whatever `start_at` says: how far history reaches is known by
    /// event time only.
    #[must_use]
    pub fn with_earliest_start(mut self) -> Self {
        if let Some(kafka) = &mut self.source.kafka {
            EARLIEST.clone_into(&mut kafka.start_at);
        }
        self
    }

    /// The plan with a folder for outputs, positions and state instead of its sinks' places and its ledger; `path` relative
    /// to the pipeline file. With `parquet`, what the engine itself makes is written as columns, without headers.
    #[must_use]
    pub fn with_folder(mut self, path: &str, parquet: bool) -> Self {
        for (_, sink) in &mut self.sinks.sinks {
            (sink.kafka, sink.memory) = (None, None);
            let mut format = FolderFormat::Ndjson;
            if parquet && sink.from.is_made() {
                format = FolderFormat::Parquet;
                sink.encode = EncodeSpec::default();
            }
            sink.folder = Some(FolderSinkSpec { path: path.to_owned(), format });
        }
        self.ledger = None;
        self
    }

    /// The plan with so many workers. Those of a file share its partitions: each must get one.
    #[must_use]
    pub fn with_workers(mut self, workers: u32) -> Self {
        self.runtime.workers = workers;
        self
    }

    /// The plan with a sink for every output, so that nothing a test asks for is left unwritten.
    #[must_use]
    pub fn with_all_outputs(&self) -> Self {
        let outputs =
            [Output::Alerts, Output::Forecasts, Output::Scores, Output::Drift, Output::Late, Output::DeadLetter];
        let encode = EncodeSpec::default();
        let sink = |from| SinkSpec { from, kafka: None, memory: None, folder: None, encode: encode.clone() };
        let sinks = outputs.into_iter().map(|from| (format!("{from:?}"), sink(from))).collect();
        Self { sinks: SinkPlan { sinks, control: None }, ..self.clone() }
    }
}
