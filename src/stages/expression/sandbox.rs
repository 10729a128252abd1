//! What expressions may name: DataFusion's immutable scalar functions, and nothing else. No tables, files, variables,
//! aggregates or user functions are reachable from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion::sql::planner::ParserOptions;

/// Functions whose result has a size taken from a number: one row could exhaust the memory.
const UNBOUNDED: [&str; 3] = ["lpad", "repeat", "rpad"];
/// Functions that read the environment of a query, which rows of a stream do not have.
const ENVIRONMENT: [&str; 4] = ["file_row_index", "input_file_name", "now", "version"];

/// Why a function may not be called, or the function.
pub(super) enum Lookup {
    /// It may.
    Found(Arc<ScalarUDF>),
    /// It depends on more than its arguments.
    NotImmutable,
    /// Its result may have any size.
    Unbounded,
    /// It is an aggregate or a window function.
    NotPerRow,
    /// There is none.
    Unknown,
}

/// The functions and settings that expressions are compiled with. Costs about a millisecond: make one per plan.
pub struct Sandbox {
    scalar: BTreeMap<String, Arc<ScalarUDF>>,
    over_rows: Vec<String>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    pub(super) options: Arc<ConfigOptions>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("functions", &self.scalar.len()).finish_non_exhaustive()
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// The functions of this build.
    #[must_use]
    pub fn new() -> Self {
        let mut scalar = BTreeMap::new();
        // Not the nested functions: a column holds one value, and `range` or `array_repeat` have no bound.
        for function in datafusion::functions::all_default_functions() {
            scalar.insert(function.name().to_owned(), Arc::clone(&function));
            for alias in function.aliases() {
                scalar.insert(alias.clone(), Arc::clone(&function));
            }
        }
        let mut over_rows = Vec::new();
        for aggregate in SessionStateDefaults::default_aggregate_functions() {
            over_rows.push(aggregate.name().to_owned());
            over_rows.extend(aggregate.aliases().iter().cloned());
        }
        for window in SessionStateDefaults::default_window_functions() {
            over_rows.push(window.name().to_owned());
        }
        Self {
            scalar,
            over_rows,
            planners: SessionStateDefaults::default_expr_planners(),
            options: Arc::new(ConfigOptions::new()),
        }
    }

    /// What becomes of a call of `name`.
    pub(super) fn function(&self, name: &str) -> Lookup {
        if self.over_rows.iter().any(|known| known == name) {
            return Lookup::NotPerRow;
        }
        let Some(function) = self.scalar.get(name) else { return Lookup::Unknown };
        if ENVIRONMENT.contains(&function.name()) || function.signature().volatility != Volatility::Immutable {
            return Lookup::NotImmutable;
        }
        if UNBOUNDED.contains(&function.name()) {
            return Lookup::Unbounded;
        }
        Lookup::Found(Arc::clone(function))
    }

    /// Names of all functions, allowed or not, for suggestions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.scalar.keys().map(String::as_str)
    }

    /// How SQL text is read: names as written, text as plain UTF-8.
    pub(super) fn parser_options() -> ParserOptions {
        ParserOptions {
            enable_ident_normalization: false,
            map_string_types_to_utf8view: false,
            ..ParserOptions::default()
        }
    }
}

impl ContextProvider for Sandbox {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("no tables here: `{name}`")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match self.function(name) {
            Lookup::Found(function) => Some(function),
            Lookup::NotImmutable | Lookup::Unbounded | Lookup::NotPerRow | Lookup::Unknown => None,
        }
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
