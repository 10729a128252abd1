//! `arterial replay`: rows of a file -> records of a topic, as the sensors would have sent them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arterial_connectors::file::{FileRows, FileRowsConfig};
use arterial_connectors::kafka::{CreateTopic, KafkaWriter, ensure_topic};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::usage::UsageError;
use crate::stages::encode::json_lines;

/// Send the rows of a Parquet file to a Kafka topic as JSON.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial replay traffic.parquet --topic aarhus.traffic.observations.v1 --key report_id --create 8\n  \
    arterial replay day.parquet --topic loops --key sensor_id --time observed_at --speed 60\n  \
    arterial replay day.parquet --topic loops --key sensor_id --like pipelines/ring.yaml\n\n\
    Records are keyed with murmur2, as Java producers do, and carry the present as their broker timestamp unless \
    --stamp-event is given: a topic with the usual seven days of retention deletes records stamped years ago.")]
pub struct ReplayArgs {
    /// The Parquet file.
    pub file: PathBuf,
    /// The topic.
    #[arg(long)]
    pub topic: String,
    /// Column whose text is the record's key.
    #[arg(long)]
    pub key: String,
    /// Bootstrap servers.
    #[arg(long, default_value = "127.0.0.1:9092", env = "KAFKA_BROKERS")]
    pub brokers: String,
    /// Connect as this pipeline does, to its brokers and with its `security`.
    #[arg(long, value_name = "PIPELINE")]
    pub like: Option<PathBuf>,
    /// Create the topic with this many partitions if it is missing.
    #[arg(long, value_name = "PARTITIONS")]
    pub create: Option<u32>,
    /// Column with the time of a row; needed with --speed and --stamp-event.
    #[arg(long)]
    pub time: Option<String>,
    /// Seconds of the file's time per second; 0 is as fast as it goes.
    #[arg(long, default_value_t = 0.0, value_parser = speed)]
    pub speed: f64,
    /// Stamp records with their row's time instead of the present.
    #[arg(long)]
    pub stamp_event: bool,
    /// Stop after this many rows.
    #[arg(long)]
    pub limit: Option<u64>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && speed >= 0.0 { Ok(speed) } else { Err("not 0 or a positive number".to_owned()) }
}

/// Runs the verb.
///
/// # Errors
/// The file or the topic cannot be used; what was sent before stays sent, and the message says how much that was.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    if args.time.is_none() && (args.speed > 0.0 || args.stamp_event) {
        return Err(UsageError::TimeMissing.into());
    }
    let file = FileRows::open(&FileRowsConfig::new(&args.file))?;
    let total = args.limit.map_or(file.rows_total(), |limit| limit.min(file.rows_total()));
    let create = args.create.map(|partitions| CreateTopic { partitions, replication: None, config: BTreeMap::new() });
    let like = args.like.as_deref().map(super::load::load_plan).transpose()?.map(Arc::new);
    let connection = super::connection::of(like.as_ref(), &args.brokers, "replay")?;
    ensure_topic(&connection, &args.topic, create.as_ref())?;
    let mut writer = KafkaWriter::open(&connection, &args.topic)?;
    let bar = ProgressBar::new(total)
        .with_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows, {per_sec}, {eta} left")?);
    let mut pace = Pace { speed: args.speed, start: None };
    let mut sent = 0;
    for batch in file {
        let batch = batch?;
        let rows = usize::try_from(total - sent).map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        let batch = batch.slice(0, rows);
        send(args, &batch, &mut writer, &mut pace).with_context(|| format!("after {sent} rows"))?;
        sent += rows as u64;
        bar.set_position(sent);
        if sent == total {
            break;
        }
    }
    writer.flush()?;
    bar.finish_and_clear();
    complain!("{sent} rows sent to `{}`", args.topic);
    Ok(())
}

/// Sends one batch, each row when its time has come.
fn send(args: &ReplayArgs, batch: &RecordBatch, writer: &mut KafkaWriter, pace: &mut Pace) -> Result<()> {
    let keys = column(batch, &args.key)?;
    let keys = cast(&keys, &DataType::Utf8)?;
    let keys = keys.as_string::<i32>();
    let times = args.time.as_ref().map(|name| column(batch, name)).transpose()?;
    let times = times.map(|times| cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))).transpose()?;
    let lines = json_lines(batch)?;
    let mut start = 0;
    // JSON text holds no line feed inside a row: within strings it is escaped.
    for (row, end) in memchr::memchr_iter(b'\n', &lines).enumerate() {
        // A row without a time goes out at once, stamped with the present.
        let timed = times.as_ref().filter(|times| times.is_valid(row));
        let micros = timed.map(|times| times.as_primitive::<TimestampMicrosecondType>().value(row));
        if let Some(micros) = micros {
            pace.wait_for(micros);
        }
        let stamp_ms = micros.filter(|_| args.stamp_event).map(|micros| micros.div_euclid(1000));
        let key = keys.is_valid(row).then(|| keys.value(row).as_bytes());
        // Where a file stands for a topic, rows without key lie in partition 0.
        let partition = key.is_none().then_some(0);
        writer.send_to(partition, key, Some(&lines[start..end]), stamp_ms)?;
        start = end + 1;
    }
    Ok(())
}

fn column(batch: &RecordBatch, name: &str) -> Result<arrow::array::ArrayRef> {
    batch.column_by_name(name).cloned().with_context(|| {
        let schema = batch.schema();
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("the file has no column `{name}`; it has {}", known.join(", "))
    })
}

/// Holds rows back so that the file's time passes at the chosen speed.
struct Pace {
    speed: f64,
    start: Option<(Instant, i64)>,
}

impl Pace {
    fn wait_for(&mut self, micros: i64) {
        if self.speed <= 0.0 {
            return;
        }
        let (began, first) = *self.start.get_or_insert((Instant::now(), micros));
        let due = (micros - first).max(0) as f64 / 1e6 / self.speed;
        let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}
