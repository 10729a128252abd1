//! Windows and forecasts -> alert changes, with hysteresis. Time is event time: an alert opens at the first window end
//! at or after its first true end plus `for`; a null measure neither holds nor clears.

mod alerts;
mod change;
mod comparison;
mod error;
mod life;
mod plan;
mod settings;
mod summary;

pub use alerts::{Alerts, RuleInput};
pub use change::{AlertChange, AlertState};
pub use comparison::{Comparison, ComparisonError};
pub use error::AlertPlanError;
pub use plan::{AlertInput, AlertPlan, AlertRule, AlertSettings};
pub use settings::Severity;
pub use summary::Summary;
