//! Sensor streams in, congestion and safety alerts out: the engine, and what a program needs to embed it.
//!
//! A pipeline is one YAML file. Its data flows through these modules, in this order:
//!
//! | module | what enters | what leaves |
//! |---|---|---|
//! | [`connectors`] | the outside world | batches of one partition's rows |
//! | [`stages::decode`] | bytes, or typed rows | rows of the schema; those that cannot be used, as values |
//! | [`stages::clean`] | rows | rows, less duplicates, filtered rows and dead letters |
//! | [`stages::window`] | rows | closed event-time windows, one row per live key |
//! | [`stages::features`] | closed windows | a feature matrix, keys by columns |
//! | [`stages::predict`] | features and labels | forecasts, and scores of those before |
//! | [`stages::alert`] | windows and forecasts | alert changes |
//! | [`stages::encode`] | any of these | keys, values and headers |
//! | [`connectors`] | records, positions, state | one transaction |
//!
//! Around that, [`spec`] checks the file against a [`Registry`], [`state`] names and digests what is kept, [`runtime`] owns
//! threads and commits, [`observe`] tells.
//!
//! # Embedding
//!
//! [`Pipeline::from_yaml`] takes the text of the file. A source of kind `feed` is filled by the program through
//! [`Input`], which waits where the pipeline is behind; a `memory: {}` sink is read through [`Output`], a stream of what was
//! committed. The library prints nothing, installs no logger and no allocator, starts no runtime and reads no environment;
//! [`Running::end`] and the streams work under any executor.
//!
//! A [`Registry`] gives the file parts of the program's own, by name: sources, ledgers, cleaning steps ([`CustomStep`]),
//! models ([`OnlinePredictor`]) and alert rules ([`CustomRule`]). Their state rides in the same commits and digests as the
//! engine's.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arterial::Pipeline;
//! use arterial::arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut pipeline = Pipeline::from_yaml(
//!     r#"
//! version: 1
//! pipeline: ring-road
//! sources:
//!   loops:
//!     feed: { partitions: 4 }
//!     decode: { schema: loop-speed.v1 }
//!     partitioned_by: sensor_id
//!     event_time: { column: observed_at, max_delay: 60s }
//! window: { size: 5m, key: [sensor_id], columns: { speed_mph: avg(speed_mph) } }
//! alerts:
//!   slow: { measure: speed_mph, when: "< 20", summary: "slow at {sensor_id}" }
//! sinks:
//!   alerts: { from: alerts, memory: {} }
//! "#,
//! )
//! .build()?;
//! let (input, mut alerts) = (pipeline.input()?, pipeline.output("alerts")?);
//! let running = pipeline.start()?;
//!
//! let minutes = [0i64, 1, 2, 3, 4, 5, 6];
//! let times = minutes.map(|minute| 1_764_000_000_000_000 + minute * 60_000_000);
//! let rows = RecordBatch::try_from_iter([
//!     ("sensor_id", Arc::new(StringArray::from(vec!["L1"; 7])) as _),
//!     ("observed_at", Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")) as _),
//!     ("speed_mph", Arc::new(Float64Array::from(vec![12.0; 7])) as _),
//! ])?;
//! # futures_executor::block_on(async {
//! input.send(rows).await?;
//! input.finish();
//! let opened = alerts.next().await.ok_or("no alert")?;
//! assert_eq!(opened.num_rows(), 1);
//! while alerts.next().await.is_some() {}
//! assert_eq!(running.end().await?.accounting().rows_in, 7);
//! # Ok(())
//! # })
//! # }
//! ```

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "neural")]
pub mod models;
pub mod observe;
pub mod runtime;
pub mod schema;
#[cfg(feature = "cli")]
pub mod serve;
pub mod spec;
pub mod stages;
pub mod state;
pub mod vocab;

pub use arrow;
pub use arterial_connectors as connectors;
pub use arterial_connectors::memory::MemoryBroker;
pub use runtime::{
    BuildError, Embedded, Input, Output, Pipeline, PipelineBuilder, PipelineError, RunOptions, RunSummary, Running,
    SendError,
};
pub use spec::{OpenRequest, Registry, SpecErrors};
pub use stages::alert::{CustomRule, PreparedRule, RuleRequest};
pub use stages::clean::{CustomStep, PreparedStep, RowFate, StepRequest, SteppedRows};
pub use stages::custom::{CustomSettings, Fresh, Refusal};
pub use stages::features::{ColumnKind, FeatureColumn, FeatureMatrix};
pub use stages::predict::{AdditiveForecast, Contribution, ModelRequest, OnlinePredictor, Predictor};
pub use stages::window::ClosedWindow;
pub use vocab::{KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};
