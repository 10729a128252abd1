//! `sources:` and `tables:`.

pub use crate::stages::decode::{Format, TimestampFormat};
pub use crate::stages::window::Stamps;
use std::collections::BTreeMap;

use arterial_connectors::csv::CsvDialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CustomSpec, FutureSkew, SecuritySpec, Settings, Span};

/// A stream of readings: exactly one of `kafka`, `file`, `simulate`, `feed`, `custom`, and how to read it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Read Kafka topics.
    pub kafka: Option<KafkaSourceSpec>,
    /// Read files.
    pub file: Option<FileSourceSpec>,
    /// Make readings up: a seeded corridor of loop detectors, or a city of several.
    pub simulate: Option<SimulateSpec>,
    /// Take the Arrow batches of the program that embeds the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedSpec>,
    /// Read a source that the program registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomSpec>,
    /// How bytes become rows. Files of Parquet have types already and need only `schema` and `paths`.
    pub decode: DecodeSpec,
    /// The column that the topic is keyed by: every row of one value lies in one partition.
    pub partitioned_by: String,
    /// Which column is the event time, and how late it may be.
    pub event_time: EventTimeSpec,
}

impl SourceSpec {
    /// Whether all rows are there from the start, so that only their number says when to commit.
    #[must_use]
    pub fn waits_for_nobody(&self) -> bool {
        self.file.is_some() || self.simulate.as_ref().is_some_and(|simulate| simulate.speed == 0.0)
    }
}

/// Kafka topics as a source.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSourceSpec {
    /// Bootstrap servers `host:port,host:port`, or `embedded`: a broker inside this process, for demos, at least once
    /// only. It starts empty, its address is in the log, it keeps 5 MB or 100,000 records of a partition and ends with
    /// the run.
    pub brokers: String,
    /// Topics to read. They must exist, except with `brokers: embedded`.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// Partitions of each of the topics with `brokers: embedded`, where the run creates them; refused otherwise.
    #[schemars(range(min = 1))]
    pub partitions: Option<u32>,
    /// Where to start without a committed offset: `earliest`, `latest`, or an RFC 3339 time.
    #[serde(default = "earliest")]
    pub start_at: String,
    /// What to do when records that were not read yet are gone: `fail` or `skip` (and count).
    #[serde(default)]
    pub on_gap: OnGap,
    /// Consumer group; `arterial.<pipeline>` unless given.
    pub group: Option<String>,
    /// How to log in to secured brokers.
    pub security: Option<SecuritySpec>,
    /// Further librdkafka properties, as text. Those the engine depends on are refused.
    #[serde(default)]
    pub properties: Settings,
}

/// What stands in `brokers:` for the broker inside this process.
pub const EMBEDDED: &str = "embedded";

impl KafkaSourceSpec {
    /// Whether the broker is one inside this process.
    #[must_use]
    pub fn embedded(&self) -> bool {
        self.brokers == EMBEDDED
    }
}

/// What stands in `start_at:` for the oldest record there is.
pub const EARLIEST: &str = "earliest";

fn earliest() -> String {
    EARLIEST.to_owned()
}

/// What to do about records that retention deleted before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnGap {
    /// Stop with an error.
    #[default]
    Fail,
    /// Go on from the oldest record left, and count what was skipped.
    Skip,
}

/// Files as a source: they stand for a topic, rows in file order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSourceSpec {
    /// Path of a file, relative to the pipeline file, or a pattern such as `history/*.parquet`: its files are read in the
    /// order of their names as one topic. Lines of JSON by the ending `.ndjson`, `.jsonl` or `.json`, CSV with a header
    /// by `.csv`, `.tsv` or `.txt`, also with `.gz` or `.zst` behind it; Parquet otherwise.
    pub path: String,
    /// Partitions to spread the rows over, by murmur2 of `partitioned_by`, as a producer would.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub partitions: u32,
    /// What has to be known of tables of CSV, or done with them, before they are readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvFileSpec>,
}

/// Tables of CSV that are not one reading a row, lack columns or are not written in UTF-8.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvFileSpec {
    /// How characters are written, a label of the WHATWG's Encoding Standard: `windows-1252` (Latin-1, Excel's `CSV` in
    /// Western Europe), `utf-16le` (Excel's `Unicode text`); `utf-8` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// A wide table, with a column for every sensor, becomes one with a row for every reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpivot: Option<UnpivotSpec>,
    /// Times of a table that has none: they count its rows, through all files of a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<CsvClockSpec>,
    /// Cells that are put together of others, with a blank between them: `{observed_at: [date, time]}` of a table that has date
    /// and time of day in two columns. Where one part is empty or one of `nulls`, so is the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub join: BTreeMap<String, Vec<String>>,
    /// Cells that every row gets: `{station_id: harbour}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

/// How a wide table is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnpivotSpec {
    /// The column that gets the names of the wide table's columns: `sensor_id`.
    pub column: String,
    /// The column that gets their cells: `speed_kmh`. An empty cell is no reading.
    pub value: String,
    /// Columns that every reading keeps; unless given, those that readings must have and the header names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
}

/// Times that count rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvClockSpec {
    /// Time of the first row, RFC 3339: `2012-03-01T00:00:00Z`.
    pub start: String,
    /// Between two rows: `5m`.
    pub step: Span,
}

fn one() -> u32 {
    1
}

/// Batches of the program that embeds the pipeline: columns as in the schema, each row in the partition of its
/// `partitioned_by`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    /// Partitions to spread the rows over, by murmur2 of `partitioned_by`, as a producer would.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub partitions: u32,
    /// Most rows that were sent and are not committed yet. A sender waits for room; a larger batch goes into an empty
    /// feed only.
    #[serde(default = "default_rows_max")]
    #[schemars(range(min = 1))]
    pub rows_max: u32,
}

fn default_rows_max() -> u32 {
    100_000
}

/// A simulated corridor of loop detectors, or a city of several, with a daily profile, bottleneck queues and some faulty
/// sensors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateSpec {
    /// Seed: the same seed gives the same readings.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Corridors: 1 is alone. Of several every other leads into the city and the next one out of it, with a junction in the
    /// middle and a ring road between them.
    #[serde(default = "default_corridors")]
    #[schemars(range(min = 1, max = 100))]
    pub corridors: u32,
    /// Detectors along each corridor, at least 2, and 100,000 on all corridors together.
    #[serde(default = "default_detectors")]
    #[schemars(range(min = 2))]
    pub detectors: u32,
    /// Time between readings of a detector.
    #[serde(default = "default_every")]
    pub every: Span,
    /// First reading, RFC 3339.
    #[serde(default = "default_start")]
    pub start: String,
    /// Length of simulated time.
    pub length: Span,
    /// Whether it rains now and then, which takes of the road's capacity and speed.
    #[serde(default)]
    pub weather: bool,
    /// Whether there are matches in a stadium in the middle of the city, which thousands drive to and from.
    #[serde(default)]
    pub stadium: bool,
    /// Which ways some of the detectors fail in.
    #[serde(default)]
    pub faults: SimulatedFaults,
    /// Simulated seconds per second; `0` is as fast as it goes.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub speed: f64,
    /// Partitions of the topic it stands for.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1))]
    pub partitions: u32,
}

/// Which ways detectors fail in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SimulatedFaults {
    /// Some are stuck, send sentinels or fall silent now and then.
    #[default]
    Basic,
    /// Others are noisy, drift, have a wrong clock or send readings again.
    All,
}

fn default_seed() -> u64 {
    42
}
fn default_corridors() -> u32 {
    1
}
fn default_detectors() -> u32 {
    64
}
fn default_every() -> Span {
    Span::seconds(60)
}
fn default_start() -> String {
    "2026-03-02T00:00:00Z".to_owned()
}
fn default_partitions() -> u32 {
    4
}

/// How bytes become rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecodeSpec {
    /// Format of the payload.
    #[serde(default)]
    pub format: Format,
    /// `format: csv`: names of a record's cells, in their order. A file's header takes their place: give them only for
    /// files without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// `format: csv`: the ASCII character between cells, `,` unless given; a tab is `"\t"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// `format: csv`: the ASCII character around cells that hold a delimiter or an end of line, `"` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<char>,
    /// `format: csv`: the character before the decimals of a number, `.` unless given; `,` for `61,5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// `format: csv`: the character between every three digits before the decimals, as `"."` in `1.038,4`; none unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// `format: csv`: cells that mean null, as `[NA, "-"]`, beside empty ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// Schema of the rows: a shipped name such as `traffic-observation.v1`, or a path to an `.avsc` file.
    pub schema: String,
    /// Paths of columns that lie deeper or have another name: `{speed_kmh: measurement.speed}`; in a file and in
    /// delimited text the name of its column.
    #[serde(default)]
    pub paths: BTreeMap<String, String>,
    /// IANA zone of times written without one, as `Europe/Copenhagen`. Without it such times are rejected.
    pub timezone: Option<String>,
    /// How times are written.
    #[serde(default)]
    pub timestamp: TimestampFormat,
    /// How times of text are written, where not as RFC 3339, in the words of strftime: `"%d.%m.%Y %H:%M"`. Without `%z` they
    /// are those of `timezone`; without a time of day they are the beginning of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_format: Option<String>,
    /// Longest payload, bytes; longer ones are dead letters.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1))]
    pub max_bytes: u32,
    /// Deepest nesting, at most 1000; deeper payloads are dead letters.
    #[serde(default = "default_max_depth")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_depth: u32,
}

impl DecodeSpec {
    /// How delimited text is written. The rules have refused characters that are not ASCII.
    #[must_use]
    pub fn dialect(&self) -> CsvDialect {
        let usual = CsvDialect::default();
        let byte = |given: Option<char>, usual| given.and_then(|given| u8::try_from(given).ok()).unwrap_or(usual);
        CsvDialect { delimiter: byte(self.delimiter, usual.delimiter), quote: byte(self.quote, usual.quote) }
    }
}

fn default_max_bytes() -> u32 {
    1_048_576
}
fn default_max_depth() -> u32 {
    32
}

/// Event time, and how far it may stray from arrival.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTimeSpec {
    /// The column.
    pub column: String,
    /// Which end of its interval a reading carries.
    #[serde(default)]
    pub stamps: Stamps,
    /// Length of the interval that a reading covers; needed with `stamps: end`.
    pub interval: Option<Span>,
    /// How far readings of a partition may be out of order: the watermark stays this far behind the newest.
    pub max_delay: Span,
    /// A partition without records for this long, by the wall clock, has its open windows closed.
    pub idle_after: Option<Span>,
    /// How far a time may lie ahead of the record's broker timestamp; rows further ahead are dead letters, for one clock that is
    /// ahead would make all other sensors late. As `max_delay` unless given; `unbounded` for readings that are made up.
    pub future_skew: Option<FutureSkew>,
    /// The last time that can be meant (RFC 3339): rows with a later one are dead letters and close no windows. One year
    /// misspelt in a table would make everything after it late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
    /// Partitions this far ahead of the slowest are paused.
    #[serde(default = "default_max_drift")]
    pub max_drift: Span,
}

impl EventTimeSpec {
    /// How far a time may lie ahead of its arrival, where that is limited.
    #[must_use]
    pub fn future_skew(&self) -> Option<Span> {
        match self.future_skew {
            Some(FutureSkew::Within(span)) => Some(span),
            Some(FutureSkew::Unbounded) => None,
            None => Some(self.max_delay),
        }
    }
}

fn default_max_drift() -> Span {
    Span::seconds(3600)
}

/// A small table kept in memory: exactly one of `file` and `rows`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Path of a CSV file with a header line, relative to the pipeline file.
    pub file: Option<String>,
    /// Rows written in place.
    pub rows: Option<Vec<BTreeMap<String, super::Scalar>>>,
    /// The column that identifies a row; it must be unique. A table of links has `graph` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Says that rows are links between keys, for `neighbours`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphSpec>,
    /// What to do where the table is another one than the state was made with.
    #[serde(default)]
    pub on_change: OnChange,
}

/// The columns of a table of links; or, without `to`, of a matrix of weights. A link stands once; none leads from a key to
/// itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// Column of the key that a link leads from: upstream.
    pub from: String,
    /// Column of the key that it leads to: downstream. Without it the table is a matrix: every other column is named like
    /// a key, and its cell is the weight of the link from the row's key, 0 or empty where there is none.
    pub to: Option<String>,
    /// Column of numbers above 0: the more, the nearer.
    pub weight: Option<String>,
    /// Column of numbers of at least 0: the less, the nearer. Without either, links nearest first stand first.
    pub distance: Option<String>,
}

/// What to do about a table that changed under existing state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// Stop with an error: windows and models were made with the values of before. `--reset table.NAME` forgets them.
    #[default]
    Refuse,
    /// Say so and go on with the state: for tables that grow.
    Keep,
}
