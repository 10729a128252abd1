//! `clean:` steps, one key per step.

pub use crate::stages::clean::{CastType, Missing, NormaliseMethod, Otherwise, Parameters};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CustomSpec, Span};

/// One cleaning step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CleanStepSpec {
    /// Column -> condition (SQL): where it is true, the value becomes null.
    NullIf(BTreeMap<String, String>),
    /// Physical limits of columns.
    Range(RangeSpec),
    /// Drop repeated readings: the first counts.
    Dedupe(DedupeSpec),
    /// Add columns from a table.
    Lookup(LookupSpec),
    /// Fill what is missing with the last value of the same key, and say so in column `imputed`.
    Impute(ImputeSpec),
    /// Bring columns of numbers to a common scale.
    Normalise(NormaliseSpec),
    /// Column -> its new name.
    Rename(BTreeMap<String, String>),
    /// Condition (SQL): rows for which it is not true are filtered.
    Filter(String),
    /// Column -> type: `{lane: text}`. A row with a value that does not fit is a dead letter.
    Cast(BTreeMap<String, CastType>),
    /// Column -> change of unit: `{speed_mph: {from: mph, to: km/h, name: speed_kmh}}`.
    Unit(BTreeMap<String, UnitSpec>),
    /// One `SELECT ... FROM rows [WHERE ...]` of scalar expressions over the row. Rows that `WHERE` leaves out are
    /// filtered; a row whose cast or division fails is a dead letter.
    Sql(String),
    /// A step that the embedding program registered. It comes after `dedupe`.
    Custom(CustomSpec),
}

/// Limits of columns and what to do outside them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeSpec {
    /// Column -> limits. Limits left out are the schema's `minimum` and `maximum`.
    pub columns: BTreeMap<String, LimitsSpec>,
    /// What becomes of a value outside: `drop` the row, `null` the value (the default; YAML's own null says the same),
    /// `clamp` it, or `dead_letter` the row.
    pub otherwise: Option<Otherwise>,
}

/// Inclusive limits, in the column's unit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Least value.
    pub minimum: Option<f64>,
    /// Greatest value.
    pub maximum: Option<f64>,
}

/// A change of unit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitSpec {
    /// Unit of the column's numbers: `mph`, `degF`, `ppb`, `inHg`, ...
    pub from: String,
    /// Unit that they get, of the same kind: `km/h`, `degC`, `ppm`, `hPa`, ...
    pub to: String,
    /// The column's name from then on; as it was unless given.
    pub name: Option<String>,
}

/// Rows that repeat a key are duplicates.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupeSpec {
    /// Columns that identify a reading. They must include `partitioned_by` and the event-time column.
    #[schemars(length(min = 1))]
    pub key: Vec<String>,
    /// How far behind the newest reading, in event time, readings are remembered: at least `max_delay` and the window's
    /// size together, less `interval` with `stamps: end`. A row further behind is late and never gets here; one less far
    /// behind may be in time, and its repeat would count twice.
    pub within: Span,
}

/// Values that stand in for missing ones. A row in which one does has `imputed` true: windows take its values, but it
/// counts for no label, so that models learn and are scored from what was measured. It comes after `dedupe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImputeSpec {
    /// Columns of numbers.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
    /// What stands in.
    pub method: ImputeMethod,
    /// Oldest value that may stand in, before the row in event time.
    pub within: Span,
}

/// What stands in for a missing value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImputeMethod {
    /// The last value of the same key, by event time, that is not newer than the row.
    Last,
}

/// Columns on a common scale: by parameters that are given, or by those of the rows before each row. It then comes after
/// `dedupe`, and learns nothing from rows in which a value is imputed. A value that is null, NaN or infinite is null, and so is
/// one that has no place on the scale, as one that differs from what was constant so far.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormaliseSpec {
    /// Columns of numbers.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
    /// How they are scaled.
    pub method: NormaliseMethod,
    /// Parameters by column: with them nothing is learned and no state is kept.
    pub parameters: Option<BTreeMap<String, Parameters>>,
    /// The same from a JSON file, relative to the pipeline file: `{"speed_kmh": {"mean": 61.2, "deviation": 18.4}}`.
    pub parameters_file: Option<String>,
    /// Values of a column that must have been seen before there is a result; until then it is null. 30 unless given.
    #[schemars(range(min = 2))]
    pub min_count: Option<u64>,
    /// Values of a column after which its parameters stay as they are; they go on learning unless given.
    #[schemars(range(min = 2))]
    pub freeze_after: Option<u64>,
    /// Columns whose values together have parameters of their own, forgotten after `keys.expire_after` without rows; all
    /// rows of a partition have the same unless given.
    pub by: Option<Vec<String>>,
    /// Furthest that a result may lie from 0, or from 0..1 with `min_max`: what lies further is brought there. No limit unless given.
    pub clip: Option<f64>,
    /// What is put behind a column's name to name its result. Results take the place of the columns unless given.
    #[schemars(length(min = 1))]
    pub suffix: Option<String>,
}

/// Columns from a table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupSpec {
    /// Name under `tables:`.
    pub table: String,
    /// The row's column that is matched with the table's key.
    pub on: String,
    /// Columns to add.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
    /// What becomes of a row without a match: `dead_letter` unless given; `null` must be quoted.
    #[serde(default)]
    pub missing: Missing,
}
