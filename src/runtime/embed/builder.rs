//! The text of a pipeline file and what the program brings along -> a checked pipeline with its input and outputs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arterial_connectors::ledger::LedgerError;
use arterial_connectors::memory::{FeedConfig, MemoryBroker, MemoryError, MemoryFeed};
use arterial_connectors::source::Until;

use super::ends::{Ends, FEED_TOPIC};
use super::input::Input;
use super::output::{Output, Streams};
use crate::runtime::error::PipelineError;
use crate::runtime::pipeline::{Pipeline, RunOptions, Running};
use crate::runtime::wiring::Wiring;
use crate::spec::{PipelineFile, PipelinePlan, Registry, SpecErrors};

/// What problems call a text that has no file.
const NAME: &str = "pipeline.yaml";

/// Why a pipeline could not be built, or what it does not have.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The pipeline file has problems.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// The memory given to [`PipelineBuilder::memory`] holds another pipeline's rows.
    #[error("the feed of pipeline `{pipeline}`: {error}; give the partitions it had, or new memory")]
    Memory {
        /// The pipeline.
        pipeline: String,
        /// What does not fit.
        error: MemoryError,
    },
    /// The embedded broker did not start.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An input was asked for that is taken already, or of a pipeline that reads elsewhere.
    #[error("pipeline `{pipeline}` has no input to give: its source is no `feed`, or its input was taken before")]
    NoInput {
        /// The pipeline.
        pipeline: String,
    },
    /// An output was asked for that is taken already, does not exist or goes elsewhere.
    #[error("pipeline `{pipeline}` has no output `{sink}` to give; there are: {known}")]
    NoOutput {
        /// The pipeline.
        pipeline: String,
        /// What was asked for.
        sink: String,
        /// The `memory: {}` sinks that were not taken.
        known: String,
    },
}

/// What a program says of the pipeline it embeds, before the file is checked.
pub struct PipelineBuilder {
    text: String,
    folder: PathBuf,
    variables: BTreeMap<String, String>,
    registry: Registry,
    memory: MemoryBroker,
    options: RunOptions,
}

impl PipelineBuilder {
    pub(in crate::runtime) fn new(text: String) -> Self {
        Self {
            text,
            folder: PathBuf::new(),
            variables: BTreeMap::new(),
            registry: Registry::standard(),
            memory: MemoryBroker::new(),
            options: RunOptions { until: Until::Latest, ..RunOptions::default() },
        }
    }

    /// The components that the file may name: [`Registry::standard`] unless given.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Where relative paths of the file start: the process's working directory unless given.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// A variable for `${NAME}` under `vars:`. The process's environment is not looked at.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Where rows of a `feed` wait and the state lives, as long as the process does. A pipeline built again over the same
    /// memory goes on from the last commit of the one before, with the rows that were sent and not committed.
    #[must_use]
    pub fn memory(mut self, memory: MemoryBroker) -> Self {
        self.memory = memory;
        self
    }

    /// Clock, metrics and listener of the run. `until` is [`Until::Latest`] unless given: a `feed` ends when its input is
    /// finished, and only then.
    #[must_use]
    pub fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the file; nothing runs yet.
    ///
    /// # Errors
    /// [`BuildError::Spec`] with every problem of the file; [`BuildError::Memory`], [`BuildError::Ledger`].
    pub fn build(self) -> Result<Embedded, BuildError> {
        let variables = self.variables;
        let file = PipelineFile::parse(NAME, &self.text, &|name| variables.get(name).cloned(), &self.registry);
        let plan = Arc::new(file.plan(&self.folder, &BTreeMap::new())?);
        let input = match &plan.source.feed {
            Some(feed) => {
                let config = FeedConfig {
                    topic: FEED_TOPIC.to_owned(),
                    partitions: feed.partitions,
                    group: plan.group(),
                    rows_max: u64::from(feed.rows_max),
                };
                let made = MemoryFeed::create(&self.memory, config);
                Some(made.map_err(|error| BuildError::Memory { pipeline: plan.name.clone(), error })?)
            }
            None => None,
        };
        let wiring = Wiring::new(&plan)?;
        let (streams, outputs) = Streams::of(&plan);
        let input = input.map(|feed| Input::new(feed, &plan));
        let ends = Ends { plan: Arc::clone(&plan), wiring, memory: self.memory, streams: Arc::new(streams) };
        Ok(Embedded { plan, ends, options: self.options, input, outputs })
    }
}

/// A checked pipeline that does not run yet. Take its input and outputs, then start it.
pub struct Embedded {
    plan: Arc<PipelinePlan>,
    ends: Ends,
    options: RunOptions,
    input: Option<Input>,
    outputs: BTreeMap<String, Output>,
}

impl Embedded {
    /// The checked file.
    #[must_use]
    pub fn plan(&self) -> &PipelinePlan {
        &self.plan
    }

    /// The sending side of the pipeline's `feed`, once. Clone it for several senders.
    ///
    /// # Errors
    /// [`BuildError::NoInput`].
    pub fn input(&mut self) -> Result<Input, BuildError> {
        self.input.take().ok_or_else(|| BuildError::NoInput { pipeline: self.plan.name.clone() })
    }

    /// What a `memory: {}` sink gets, once each. An output that is never taken is made and dropped; one that is taken and
    /// not read brings the pipeline to a halt, until it is read or dropped. So read it before you wait for the end of the
    /// run; told to stop, the pipeline waits 10 s for its readers and then ends with [`LedgerError::Unread`]: what was
    /// committed for that output and not read is lost to it.
    ///
    /// # Errors
    /// [`BuildError::NoOutput`].
    pub fn output(&mut self, sink: &str) -> Result<Output, BuildError> {
        self.outputs.remove(sink).ok_or_else(|| BuildError::NoOutput {
            pipeline: self.plan.name.clone(),
            sink: sink.to_owned(),
            known: self.outputs.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Starts the workers, which are threads. Outputs that were not taken are dropped here, and so is an input: without
    /// one, a feed is at its end.
    ///
    /// # Errors
    /// [`PipelineError::System`] where a thread cannot be started.
    pub fn start(self) -> Result<Running, PipelineError> {
        let Self { plan, ends, options, input, outputs } = self;
        drop((input, outputs));
        let streams = Arc::clone(&ends.streams);
        let pipeline = Pipeline::new(plan, Arc::new(ends), options);
        streams.begin(pipeline.shared());
        pipeline.start()
    }
}
