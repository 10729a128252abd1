//! What the tests of the clean stage share: rows of a small table, plans over them, and their outcomes as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arterial::stages::clean::{
    CleanInput, CleanPlan, CleanRefused, CleanStep, Cleaned, Cleaner, Learning, Limits, Missing, Normalise,
    NormaliseMethod, Otherwise, Table,
};
use arterial::stages::rows::{Reason, RejectStage, Rows};

/// A second, microseconds.
pub(crate) const SECOND: i64 = 1_000_000;

/// One decoded row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) sensor: Option<String>,
    pub(crate) time: i64,
    pub(crate) speed: Option<f64>,
    pub(crate) count: Option<i64>,
    pub(crate) note: Option<String>,
}

/// A row with count 1 and note `7`.
pub(crate) fn row(sensor: &str, seconds: i64, speed: f64) -> Row {
    let sensor = Some(sensor.to_owned());
    Row { sensor, time: seconds * SECOND, speed: Some(speed), count: Some(1), note: Some("7".to_owned()) }
}

/// Columns of decoded rows.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("sensor_id", DataType::Utf8, true),
        Field::new("observed_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("speed_kmh", DataType::Float64, true),
        Field::new("count", DataType::Int64, true),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// The rows as a batch that decoding gives.
pub(crate) fn rows(rows: &[Row]) -> Rows {
    let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.sensor.clone()).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from(times.clone()).with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.speed).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.count).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.note.clone()).collect::<StringArray>()),
    ];
    Rows { batch: RecordBatch::try_new(schema(), columns).unwrap(), origin: (0..rows.len() as u32).collect(), times }
}

/// What plans start from: the schema limits `speed_kmh` to 0..250.
pub(crate) fn input() -> CleanInput {
    CleanInput {
        schema: schema(),
        limits: BTreeMap::from([("speed_kmh".to_owned(), Limits { minimum: Some(0.0), maximum: Some(250.0) })]),
        event_time: "observed_at".to_owned(),
        partitioned_by: "sensor_id".to_owned(),
        late_micros: 60 * SECOND,
        keys_max: 1000,
        expire_micros: 3600 * SECOND,
        keys: vec!["sensor_id".to_owned(), "segment_id".to_owned()],
    }
}

/// The table `sites` of the sensors A and B.
pub(crate) fn sites() -> BTreeMap<String, Arc<Table>> {
    let csv = b"sensor_id,segment_id,free_flow_kmh,lanes,closed,label\nA,S1,110.5,2,true,01\nB,S2,,3,false,02\n";
    BTreeMap::from([("sites".to_owned(), Arc::new(Table::from_csv("sites", csv, "sensor_id").unwrap()))])
}

/// A plan over [`input`] and [`sites`].
pub(crate) fn plan(steps: &[CleanStep]) -> Result<CleanPlan, CleanRefused> {
    CleanPlan::new(steps, &input(), &sites())
}

/// A `sql` step.
pub(crate) fn sql(text: &str) -> CleanStep {
    CleanStep::Sql(text.to_owned())
}

/// A `dedupe` step by sensor and event time.
pub(crate) fn dedupe(seconds: i64) -> CleanStep {
    CleanStep::Dedupe { key: names(&["sensor_id", "observed_at"]), within_micros: seconds * SECOND }
}

/// An `impute` step.
pub(crate) fn impute(columns: &[&str], seconds: i64) -> CleanStep {
    CleanStep::Impute { columns: names(columns), within_micros: seconds * SECOND }
}

/// A `normalise` step in place.
pub(crate) fn normalise(columns: &[&str], method: NormaliseMethod, learning: Learning) -> CleanStep {
    CleanStep::Normalise(Normalise { columns: names(columns), method, learning, clip: None, suffix: None })
}

/// Parameters that are learned.
pub(crate) fn learning(min_count: u64, freeze_after: Option<u64>, by: &[&str]) -> Learning {
    Learning::Streaming { min_count, freeze_after, by: names(by) }
}

/// Owned names.
pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A `null_if` step of one column.
pub(crate) fn null_if(column: &str, condition: &str) -> CleanStep {
    CleanStep::NullIf(BTreeMap::from([(column.to_owned(), condition.to_owned())]))
}

/// A `range` step of one column.
pub(crate) fn range(column: &str, limits: Limits, otherwise: Otherwise) -> CleanStep {
    CleanStep::Range { columns: BTreeMap::from([(column.to_owned(), limits)]), otherwise }
}

/// A `lookup` step in `sites`.
pub(crate) fn lookup(columns: &[&str], missing: Missing) -> CleanStep {
    CleanStep::Lookup { table: "sites".into(), on: "sensor_id".into(), columns: names(columns), missing }
}

/// One batch through a fresh cleaner.
pub(crate) fn clean(steps: &[CleanStep], input: &[Row]) -> Cleaned {
    Cleaner::new(Arc::new(plan(steps).unwrap())).clean(rows(input)).unwrap()
}

/// A cleaned column of floats.
pub(crate) fn floats(cleaned: &Cleaned, column: &str) -> Vec<Option<f64>> {
    cleaned.rows.batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

/// A cleaned column of whole numbers.
pub(crate) fn ints(cleaned: &Cleaned, column: &str) -> Vec<Option<i64>> {
    cleaned.rows.batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

/// A cleaned column of text.
pub(crate) fn texts(cleaned: &Cleaned, column: &str) -> Vec<Option<String>> {
    let column = cleaned.rows.batch.column_by_name(column).unwrap().as_string::<i32>().clone();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

/// Origin, reason and detail of each dead letter.
pub(crate) fn rejects(cleaned: &Cleaned) -> Vec<(u32, Reason, String)> {
    assert!(cleaned.rejected.iter().all(|rejected| rejected.stage == RejectStage::Clean));
    cleaned.rejected.iter().map(|rejected| (rejected.origin, rejected.reason, rejected.detail.clone())).collect()
}

/// `path: error; hint` of each problem of steps that must be refused.
pub(crate) fn problems(steps: &[CleanStep]) -> Vec<String> {
    let refused = plan(steps).expect_err("a plan that must be refused");
    let text = |hint: &Option<String>| hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    refused.errors.iter().map(|at| format!("{at}{}", text(&at.hint))).collect()
}
