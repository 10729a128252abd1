//! Windows and forecasts -> alert changes, with hysteresis. Time is event time: an alert opens at the first window end
//! at or after its first true end plus `for`; a null measure neither holds nor clears.

mod alerts;
mod change;
mod comparison;
mod custom;
mod error;
mod key_states;
mod levels;
mod life;
mod measure;
mod plan;
mod settings;
mod summary;

pub use alerts::{Alerts, RuleInput};
pub use change::{AlertChange, AlertState};
pub use comparison::{Comparison, ComparisonError};
pub use custom::{CustomRule, PreparedRule, RuleFactory, RuleRequest};
pub use error::AlertPlanError;
pub use measure::MeasureSettings;
pub use plan::{AlertInput, AlertPlan, AlertRule, AlertSettings};
pub use settings::Severity;
pub use summary::{Summaries, Summary};
