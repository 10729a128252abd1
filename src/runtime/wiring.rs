//! A plan -> the two ends of its pipeline, source first. Nothing is opened before a worker asks, except the embedded
//! broker, which others want to fill before.

use std::sync::Arc;

use arterial_connectors::file::{FileSource, FileSourceConfig};
use arterial_connectors::ledger::{Ledger, LedgerError};
use arterial_connectors::memory::{MemoryBroker, MemoryLedger, MemoryLedgerConfig};
use arterial_connectors::simulate::{SimulateConfig, SimulateSource};
use arterial_connectors::source::{Source, SourceError, Until};
use chrono::DateTime;

use super::clock::SystemClock;
use super::pipeline::Connect;
use crate::spec::PipelinePlan;
use crate::spec::model::{FileSourceSpec, SimulateSpec};
use crate::vocab::Clock;

/// Partitions of an output that is kept in memory.
const MEMORY_PARTITIONS: u32 = 8;

/// The connections that a plan asks for.
pub struct Wiring {
    plan: Arc<PipelinePlan>,
    /// Holds outputs and state of pipelines without Kafka, for as long as the process lives.
    memory: MemoryBroker,
    in_memory: bool,
    /// The broker of `brokers: embedded`, shared by all workers; it ends with the wiring.
    #[cfg(feature = "kafka")]
    embedded: Option<arterial_connectors::kafka::EmbeddedBroker>,
}

impl Wiring {
    /// Connections as the plan's source and sinks say. With `brokers: embedded` the broker starts here, with the
    /// source's topics.
    ///
    /// # Errors
    /// [`LedgerError`] where the embedded broker cannot be started: look at the limits of open files and ports.
    pub fn new(plan: &Arc<PipelinePlan>) -> Result<Self, LedgerError> {
        let in_memory = plan.source.kafka.is_none();
        Ok(Self {
            in_memory,
            #[cfg(feature = "kafka")]
            embedded: kafka::embedded(plan)?,
            ..Self::detached(plan)
        })
    }

    /// Connections that read the plan's source from its beginning and keep every output and the state in memory: what
    /// an evaluation needs.
    #[must_use]
    pub fn detached(plan: &Arc<PipelinePlan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            memory: MemoryBroker::new(),
            in_memory: true,
            #[cfg(feature = "kafka")]
            embedded: None,
        }
    }

    /// Address `host:port` of the embedded broker, where the plan has one: send rows there.
    #[must_use]
    pub fn embedded_address(&self) -> Option<&str> {
        #[cfg(feature = "kafka")]
        return self.embedded.as_ref().map(arterial_connectors::kafka::EmbeddedBroker::brokers);
        #[cfg(not(feature = "kafka"))]
        None
    }

    /// Group whose offsets are committed.
    fn group(&self) -> String {
        let own = || format!("arterial.{}", self.plan.name);
        self.plan.source.kafka.as_ref().and_then(|kafka| kafka.group.clone()).unwrap_or_else(own)
    }

    fn memory_ledger(&self, slot: &str) -> Result<Box<dyn Ledger>, LedgerError> {
        let mut names: Vec<String> = self.plan.sinks.declared().iter().map(|(name, _)| name.clone()).collect();
        names.extend(self.plan.sinks.control().map(|_| "control".to_owned()));
        for name in &names {
            // Another worker has made it already, perhaps.
            let _ = self.memory.create_topic(name, MEMORY_PARTITIONS);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ledger = MemoryLedger::open(&self.memory, MemoryLedgerConfig::new(&self.group(), slot, &names))?;
        Ok(Box::new(ledger))
    }
}

impl Connect for Wiring {
    fn source(&self, _slot: &str, until: Until) -> Result<Box<dyn Source>, SourceError> {
        let source = &self.plan.source;
        if let Some(file) = &source.file {
            return Ok(Box::new(FileSource::open(&file_config(&self.plan, file))?));
        }
        if let Some(simulate) = &source.simulate {
            let clock = SystemClock;
            let opened = SimulateSource::open(simulate_config(simulate), Arc::new(move || clock.now_micros()))?;
            return Ok(Box::new(opened));
        }
        self.kafka_source(until)
    }

    fn ledger(&self, slot: &str, partition_counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        if self.in_memory {
            return self.memory_ledger(slot);
        }
        self.kafka_ledger(slot, partition_counts)
    }
}

#[cfg(not(feature = "kafka"))]
impl Wiring {
    fn kafka_source(&self, _: Until) -> Result<Box<dyn Source>, SourceError> {
        let reason = "this program was built without the feature `kafka`".to_owned();
        Err(SourceError::Config { what: "sources".to_owned(), reason })
    }

    fn kafka_ledger(&self, _: &str, _: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
        let reason = "this program was built without the feature `kafka`".to_owned();
        Err(LedgerError::Topic { topic: "sinks".to_owned(), reason })
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    //! The Kafka half of the wiring.

    use arterial_connectors::kafka::{
        Brokers, CreateTopic, EmbeddedBroker, KafkaConnection, KafkaLedger, KafkaLedgerConfig, KafkaSource,
        KafkaSourceConfig, Properties, SinkTopic, StateTopic,
    };
    use arterial_connectors::ledger::{Ledger, LedgerError};
    use arterial_connectors::source::{OnGap, Source, SourceError, StartAt, Until};
    use chrono::DateTime;

    use super::Wiring;
    use crate::spec::PipelinePlan;
    use crate::spec::model::{CreateSpec, Delivery, KafkaSourceSpec};

    impl Wiring {
        fn kafka(&self) -> Result<&KafkaSourceSpec, SourceError> {
            self.plan.source.kafka.as_ref().ok_or_else(|| SourceError::Config {
                what: "sources".to_owned(),
                reason: "names neither `kafka` nor `file` nor `simulate`".to_owned(),
            })
        }

        pub(super) fn kafka_source(&self, until: Until) -> Result<Box<dyn Source>, SourceError> {
            let kafka = self.kafka()?;
            let group = if self.in_memory {
                // An evaluation must not touch the offsets of the pipeline that runs.
                format!("{}.evaluation-{}", self.group(), std::process::id())
            } else {
                self.group()
            };
            let config = KafkaSourceConfig {
                connection: self.connection(kafka)?,
                topics: kafka.topics.clone(),
                group,
                instance_id: None,
                start_at: start_at(&kafka.start_at),
                on_gap: match kafka.on_gap {
                    crate::spec::model::OnGap::Fail => OnGap::Fail,
                    crate::spec::model::OnGap::Skip => OnGap::Skip,
                },
                until,
            };
            Ok(Box::new(KafkaSource::open(config)?))
        }

        pub(super) fn kafka_ledger(&self, slot: &str, counts: &[u32]) -> Result<Box<dyn Ledger>, LedgerError> {
            let topic_error =
                |error: SourceError| LedgerError::Topic { topic: "sources".to_owned(), reason: error.to_string() };
            let kafka = self.kafka().map_err(topic_error)?;
            let declared = self.plan.sinks.declared().iter().filter_map(|(_, sink)| sink.kafka.as_ref());
            let sink = |topic: &String, create: Option<CreateTopic>| SinkTopic { topic: topic.clone(), create };
            let mut sinks: Vec<SinkTopic> =
                declared.map(|one| sink(&one.topic, one.create.as_ref().map(create_topic))).collect();
            let control = CreateTopic {
                partitions: counts.iter().copied().max().unwrap_or(1),
                replication: self.plan.runtime.state_replication,
                config: [("retention.ms".to_owned(), "-1".to_owned())].into(),
            };
            sinks.push(sink(&format!("arterial.{}.control", self.plan.name), Some(control)));
            let config = KafkaLedgerConfig {
                connection: self.connection(kafka).map_err(topic_error)?,
                topics: kafka.topics.clone(),
                group: self.group(),
                slot: slot.to_owned(),
                state: StateTopic {
                    topic: format!("arterial.{}.state", self.plan.name),
                    replication: self.plan.runtime.state_replication,
                },
                sinks,
                transactional: self.plan.delivery == Delivery::ExactlyOnce,
            };
            Ok(Box::new(KafkaLedger::open(config)?))
        }

        fn connection(&self, kafka: &KafkaSourceSpec) -> Result<KafkaConnection, SourceError> {
            let refused = |what: &str, reason: String| SourceError::Config { what: what.to_owned(), reason };
            let properties = Properties::checked(kafka.properties.0.clone()).map_err(|errors| {
                let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                refused("kafka properties", reasons.join("; "))
            })?;
            let brokers = match &self.embedded {
                Some(broker) => Brokers::Embedded(broker.clone()),
                None if kafka.embedded() => {
                    return Err(refused("brokers", "an embedded broker starts empty: nothing to evaluate".to_owned()));
                }
                None => Brokers::List(kafka.brokers.clone()),
            };
            let client_id = format!("arterial.{}", self.plan.name);
            Ok(KafkaConnection { brokers, client_id, properties })
        }
    }

    /// The broker of `brokers: embedded`, with the topics that the plan reads.
    pub(super) fn embedded(plan: &PipelinePlan) -> Result<Option<EmbeddedBroker>, LedgerError> {
        let Some(kafka) = plan.source.kafka.as_ref().filter(|kafka| kafka.embedded()) else { return Ok(None) };
        let broker = EmbeddedBroker::start()?;
        for topic in &kafka.topics {
            broker.create_topic(topic, kafka.partitions.unwrap_or(1))?;
        }
        Ok(Some(broker))
    }

    fn start_at(text: &str) -> StartAt {
        match text {
            "latest" => StartAt::Latest,
            // The rules have refused whatever is neither a word nor a time.
            text => DateTime::parse_from_rfc3339(text)
                .map_or(StartAt::Earliest, |time| StartAt::Timestamp(time.timestamp_millis())),
        }
    }

    fn create_topic(create: &CreateSpec) -> CreateTopic {
        CreateTopic { partitions: create.partitions, replication: create.replication, config: create.config.clone() }
    }
}

fn file_config(plan: &PipelinePlan, file: &FileSourceSpec) -> FileSourceConfig {
    let decode = &plan.source.decode;
    let name = |column: &String| decode.paths.get(column).unwrap_or(column).clone();
    let partitioned_by = name(&plan.source.partitioned_by);
    FileSourceConfig::new(plan.folder.join(&file.path), file.partitions, &partitioned_by)
}

fn simulate_config(simulate: &SimulateSpec) -> SimulateConfig {
    SimulateConfig {
        seed: simulate.seed,
        detectors: simulate.detectors,
        every_micros: simulate.every.micros,
        // The rules have refused what is not RFC 3339.
        start_micros: DateTime::parse_from_rfc3339(&simulate.start).map_or(0, |time| time.timestamp_micros()),
        length_micros: Some(simulate.length.micros),
        speed: simulate.speed,
        partitions: simulate.partitions,
    }
}
