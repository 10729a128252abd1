//! Rows -> cleaned rows; duplicate, filtered and dead-lettered ones are told apart. DataFusion expressions are
//! compiled once, per batch they are only evaluated. How rows are cut into batches changes nothing.

mod clause;
mod cleaner;
mod columns;
mod custom;
mod dedupe;
mod error;
mod impute;
mod key;
mod keyed;
mod lookup;
mod normalise;
mod null_if;
mod plan;
mod range;
mod reading_log;
mod replaced;
mod settings;
mod sql;
mod step;
mod table;
mod units;

pub use cleaner::{CleanError, Cleaned, Cleaner};
pub use custom::{PreparedStep, StepFactory, StepRequest};
pub use dedupe::READINGS_MAX;
pub use error::CleanPlanError;
pub use normalise::{Learning, Normalise, NormaliseError};
pub use plan::{CleanInput, CleanPlan, CleanRefused};
pub use replaced::{Replaced, ReplacedValues};
pub use settings::{CastType, Missing, NormaliseMethod, Otherwise, Parameters};
pub use step::{CleanStep, CustomStep, Limits, RowFate, SteppedRows, UnitChange};
pub use table::{Cell, KEY_SEPARATOR, Table, TableError};
pub use units::same_unit;
