//! A plan -> the two ends of its pipeline, source first. Nothing is opened before a worker asks, except the embedded
//! broker, which others want to fill before.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod read;
#[cfg(feature = "kafka")]
mod security;
mod share;

use std::sync::{Arc, Mutex, PoisonError};

use arterial_connectors::discard::DiscardLedger;
use arterial_connectors::file::{
    FileSource, FileSourceConfig, TableClock, TableLayout, TextEncoding, Unpivot, listing,
};
use arterial_connectors::folder::{Columns, Folder, FolderLedger, FolderLedgerConfig, FolderSink};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::simulate::{Faults, SimulateConfig, SimulateSource};
use arterial_connectors::source::{Source, SourceError, Until};
use chrono::DateTime;

#[cfg(feature = "kafka")]
pub use self::kafka::first_values;
#[cfg(feature = "kafka")]
pub(super) use self::read::{Visit, read_to_end};
use self::share::Share;
use crate::runtime::clock::SystemClock;
use crate::runtime::pipeline::Connect;
use crate::runtime::rows::RowsOf;
use crate::spec::model::{CsvClockSpec, CsvFileSpec, FileSourceSpec, SimulateSpec, SimulatedFaults, UnpivotSpec};
use crate::spec::{OpenRequest, PipelinePlan};
use crate::stages::custom::CustomSettings;
use crate::vocab::Clock;

/// The connections that a plan asks for.
pub struct Wiring {
    plan: Arc<PipelinePlan>,
    /// Whether outputs and state are thrown away: those of pipelines without Kafka or folder, which start anew with the
    /// process, and of evaluations.
    discards: bool,
    /// Whether this is an evaluation, which leaves the pipeline's own ledger alone.
    detached: bool,
    /// The folder of `folder` sinks, which the workers share, once one of them has opened it.
    folder: Mutex<Option<Folder>>,
    /// The broker of `brokers: embedded`, shared by all workers; it ends with the wiring.
    #[cfg(feature = "kafka")]
    embedded: Option<arterial_connectors::kafka::EmbeddedBroker>,
    /// Tells the groups of this evaluation from those of any other.
    #[cfg(feature = "kafka")]
    token: String,
}

impl Wiring {
    /// Connections as the plan's source and sinks say. With `brokers: embedded` the broker starts here, with the
    /// source's topics.
    ///
    /// # Errors
    /// [`LedgerError`] where the embedded broker cannot be started: look at the limits of open files and ports.
    pub fn new(plan: &Arc<PipelinePlan>) -> Result<Self, LedgerError> {
        Ok(Self {
            discards: plan.source.kafka.is_none(),
            detached: false,
            #[cfg(feature = "kafka")]
            embedded: kafka::embedded(plan)?,
            ..Self::detached(plan)
        })
    }

    /// Connections that read the plan's source from its earliest record, whatever its `start_at`, as a group of their
    /// own, and throw outputs and state away: what an evaluation needs.
    #[must_use]
    pub fn detached(plan: &Arc<PipelinePlan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            discards: true,
            detached: true,
            folder: Mutex::default(),
            #[cfg(feature = "kafka")]
            embedded: None,
            #[cfg(feature = "kafka")]
            token: kafka::token(),
        }
    }

    fn folder_ledger(&self, path: &str, slot: &str, partition_counts: &[u32]) -> Result<FolderLedger, LedgerError> {
        let plan = &self.plan;
        let mut shared = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match shared.take() {
            Some(folder) => folder,
            None => Folder::open(&plan.folder.join(path))?,
        };
        let folder = shared.insert(folder);
        let declared = plan.sinks.declared().iter().map(|(name, sink)| FolderSink {
            name: name.clone(),
            columns: sink.columns().then(|| Arc::new(RowsOf::new(sink.from)) as Arc<dyn Columns>),
        });
        let control = plan.sinks.control().map(|_| FolderSink::lines(CONTROL_FILE));
        let sinks = declared.chain(control).collect();
        let input = plan.source.file.as_ref().map_or_else(|| plan.topic(0).to_owned(), |file| file.path.clone());
        let unlisted = |error: SourceError| LedgerError::Client {
            operation: "listing the files that are read",
            reason: error.to_string(),
            transient: false,
        };
        let files = plan.source.file.as_ref().map(|file| listing(&plan.folder.join(&file.path)));
        let files = files.transpose().map_err(unlisted)?.unwrap_or_default();
        let (pipeline, partitions) = (plan.name.clone(), partition_counts.to_vec());
        Ok(FolderLedger::open(
            folder,
            slot,
            FolderLedgerConfig { pipeline, input, layout: row_layout(plan), files, partitions, sinks },
        )?)
    }

    /// Address `host:port` of the embedded broker, where the plan has one: send rows there.
    #[must_use]
    pub fn embedded_address(&self) -> Option<&str> {
        #[cfg(feature = "kafka")]
        return self.embedded.as_ref().map(arterial_connectors::kafka::EmbeddedBroker::brokers);
        #[cfg(not(feature = "kafka"))]
        None
    }
}

impl Connect for Wiring {
    fn source(&self, slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let source = &self.plan.source;
        if let Some(file) = &source.file {
            let source: Box<dyn Source> = Box::new(FileSource::open(&file_config(&self.plan, file))?);
            return Ok(match self.plan.runtime.workers {
                0 | 1 => source,
                workers => Box::new(Share { source, worker: worker_of(slot), workers }),
            });
        }
        if let Some(simulate) = &source.simulate {
            let clock = SystemClock;
            let opened = SimulateSource::open(simulate_config(simulate), Arc::new(move || clock.now_micros()))?;
            return Ok(Box::new(opened));
        }
        if let Some(custom) = &source.custom {
            let settings = CustomSettings(&custom.settings);
            let request = OpenRequest { slot, until, partition_counts: &[], sinks: &self.plan.sinks.names(), settings };
            // The rules have refused names that nobody registered.
            let unknown = || SourceError::Config { what: custom.name.clone(), reason: "is not registered".to_owned() };
            return self.plan.parts.sources.get(&custom.name).ok_or_else(unknown)?(&request);
        }
        if source.feed.is_some() {
            let reason = "a `feed` is filled by the program that embeds the pipeline".to_owned();
            return Err(SourceError::Config { what: "sources".to_owned(), reason });
        }
        self.kafka_source(slot, until)
    }

    fn ledger(&self, slot: &str, partition_counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        if let Some(custom) = self.plan.ledger.as_ref().map(|ledger| &ledger.custom).filter(|_| !self.detached) {
            let (settings, until) = (CustomSettings(&custom.settings), Until::Forever);
            let request = OpenRequest { slot, until, partition_counts, sinks: &self.plan.sinks.names(), settings };
            let unknown = || LedgerError::Topic { topic: custom.name.clone(), reason: "is not registered".to_owned() };
            return self.plan.parts.ledgers.get(&custom.name).ok_or_else(unknown)?(&request);
        }
        if let Some(path) = self.plan.sinks.folder().filter(|_| !self.detached) {
            return Ok(Box::new(self.folder_ledger(path, slot, partition_counts)?));
        }
        if self.discards {
            return Ok(Box::new(DiscardLedger));
        }
        self.kafka_ledger(slot, partition_counts)
    }
}

#[cfg(not(feature = "kafka"))]
impl Wiring {
    /// As with the feature `kafka`: there is no control log without a topic.
    ///
    /// # Errors
    /// None.
    pub fn control_log(&self) -> Result<crate::runtime::control::ControlLog, SourceError> {
        Ok(crate::runtime::control::ControlLog::default())
    }

    /// As with the feature `kafka`: there are no brokers to ask.
    ///
    /// # Errors
    /// [`SourceError::Config`].
    pub fn partition_counts(&self, _: std::time::Duration) -> Result<Vec<u32>, SourceError> {
        self.kafka_source("", Until::Latest).map(|_| Vec::new())
    }

    fn kafka_source(&self, _: &str, _: Until) -> Result<Box<dyn Source>, SourceError> {
        let reason = "this program was built without the feature `kafka`".to_owned();
        Err(SourceError::Config { what: "sources".to_owned(), reason })
    }

    fn kafka_ledger(&self, _: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let reason = "this program was built without the feature `kafka`".to_owned();
        Err(LedgerError::Topic { topic: "sinks".to_owned(), reason })
    }
}

/// What the control log is called in a folder: no sink's name has a dot.
const CONTROL_FILE: &str = "arterial.control";

/// A worker's number, which its slot ends with.
fn worker_of(slot: &str) -> u32 {
    slot.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn file_config(plan: &PipelinePlan, file: &FileSourceSpec) -> FileSourceConfig {
    let table = table_layout(plan, file.csv.as_ref());
    FileSourceConfig {
        table,
        ..FileSourceConfig::new(plan.folder.join(&file.path), file.partitions, plan.partition_column())
    }
}

fn table_layout(plan: &PipelinePlan, csv: Option<&CsvFileSpec>) -> TableLayout {
    let decode = &plan.source.decode;
    let usual = CsvFileSpec::default();
    let csv = csv.unwrap_or(&usual);
    let clock = |clock: &CsvClockSpec| {
        // The rules have refused what is no time.
        let start = DateTime::parse_from_rfc3339(&clock.start).ok()?;
        let column = plan.event_time_path().to_owned();
        Some(TableClock { column, start_micros: start.timestamp_micros(), step_micros: clock.step.micros })
    };
    let unpivot = |unpivot: &UnpivotSpec| Unpivot {
        column: unpivot.column.clone(),
        value: unpivot.value.clone(),
        keep: unpivot.keep.clone(),
    };
    // The rules have refused what is no encoding.
    let encoding = csv.encoding.as_ref().and_then(|label| TextEncoding::of(label)).unwrap_or_default();
    TableLayout {
        encoding,
        dialect: decode.dialect(),
        header: decode.columns.clone(),
        nulls: decode.nulls.clone(),
        unpivot: csv.unpivot.as_ref().map(unpivot),
        clock: csv.event_time.as_ref().and_then(clock),
        join: csv.join.clone(),
        add: csv.add.clone(),
        required: plan.decode.required_paths().map(str::to_owned).collect(),
    }
}

/// What decides how many rows files have and which partition each lies in, as JSON; empty without files.
fn row_layout(plan: &PipelinePlan) -> String {
    let Some(file) = &plan.source.file else { return String::new() };
    let decode = &plan.source.decode;
    let csv = file.csv.as_ref();
    let unpivot = csv.and_then(|csv| csv.unpivot.as_ref());
    serde_json::json!({
        "partitioned_by": plan.partition_column(),
        "delimiter": decode.delimiter,
        "quote": decode.quote,
        "unpivot": unpivot,
        // A cell without a value makes no row.
        "nulls": unpivot.map(|_| &decode.nulls),
        "event_time": csv.map(|csv| &csv.event_time),
        "join": csv.map(|csv| &csv.join),
        "add": csv.map(|csv| &csv.add),
    })
    .to_string()
}

/// A checked `simulate` block as the simulation's own settings.
#[must_use]
pub fn simulate_config(simulate: &SimulateSpec) -> SimulateConfig {
    SimulateConfig {
        seed: simulate.seed,
        corridors: simulate.corridors,
        detectors: simulate.detectors,
        every_micros: simulate.every.micros,
        // The rules have refused what is not RFC 3339.
        start_micros: DateTime::parse_from_rfc3339(&simulate.start).map_or(0, |time| time.timestamp_micros()),
        length_micros: Some(simulate.length.micros),
        weather: simulate.weather,
        stadium: simulate.stadium,
        faults: match simulate.faults {
            SimulatedFaults::Basic => Faults::Basic,
            SimulatedFaults::All => Faults::All,
        },
        speed: simulate.speed,
        partitions: simulate.partitions,
    }
}
