//! `tests:` of a pipeline file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scalar;

/// A row of a test: column -> value.
pub type TestRow = BTreeMap<String, Scalar>;

/// Input rows and the rows they must give.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSpec {
    /// A sentence that says what holds.
    pub name: String,
    /// What goes in.
    pub given: GivenSpec,
    /// What must come out: exactly these rows, in this order; columns that are not named may hold anything, and one that
    /// does not exist fails the test.
    pub expect: ExpectSpec,
}

/// What a test feeds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenSpec {
    /// Rows of tables, instead of their files.
    #[serde(default)]
    pub tables: BTreeMap<String, Vec<TestRow>>,
    /// Rows of the source, in order, as decoded JSON objects.
    #[serde(default)]
    pub rows: Vec<TestRow>,
    /// Messages as text, after `rows`: as a topic of the source holds them. Of files they are JSON.
    #[serde(default)]
    pub payloads: Vec<String>,
}

/// What a test expects; outputs that are not named are not checked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectSpec {
    /// Rows after cleaning.
    pub clean: Option<Vec<TestRow>>,
    /// Closed windows: key columns, `window_end`, window columns.
    pub windows: Option<Vec<TestRow>>,
    /// Forecasts: key columns, `window_end`, `predictor`, `horizon_s`, `value`.
    pub forecasts: Option<Vec<TestRow>>,
    /// Alert changes: key columns, `rule`, `state`, `observed_at`, `value`.
    pub alerts: Option<Vec<TestRow>>,
    /// Rises of forecasts' errors: key columns, `predictor`, `horizon_s`, `detected_at`, `detector`, `effect`, `mae_before`,
    /// `mae_after`.
    pub drift: Option<Vec<TestRow>>,
    /// Dead letters: `stage`, `reason`.
    pub dead_letter: Option<Vec<TestRow>>,
    /// Late rows, as decoded.
    pub late: Option<Vec<TestRow>>,
}
