//! `severity` and `severity_clear` -> the levels of a rule, checked, and the severity of one measure after another. Holds no
//! state: what is kept between windows is the severity that an alert has.

use std::collections::BTreeMap;

use super::{AlertPlanError, Comparison, Severity};
use crate::vocab::{At, YamlPath};

/// The severities of a rule, worst first, each of which implies those after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// A severity falls by conditions of its own, and the least one lasts as long as its alert.
    clears: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    severity: Severity,
    condition: Comparison,
    /// What ends it once an alert has it.
    clear: Comparison,
}

impl Levels {
    /// Checks what was written; `clear` is what ends the alert.
    ///
    /// # Errors
    /// Every problem, with its place below `rule`.
    pub(super) fn new(
        (severity, severity_clear): (&BTreeMap<Severity, String>, &BTreeMap<Severity, String>),
        clear: Option<Comparison>,
        rule: &YamlPath,
    ) -> Result<Self, Vec<At<AlertPlanError>>> {
        let mut errors = Vec::new();
        let mut refuse = |key: &str, severity: Severity, error, hint| {
            errors.push(At { path: rule.key(key).key(severity.name()), error, hint });
        };
        let mut levels: Vec<Level> = Vec::new();
        for (severity, text) in severity.iter().rev() {
            match Comparison::parse(text) {
                Ok(condition) => levels.push(Level { severity: *severity, condition, clear: condition.negation() }),
                Err(error) => refuse("severity", *severity, error.into(), None),
            }
        }
        for pair in levels.windows(2) {
            let [worse, lesser] = *pair else { continue };
            if !worse.condition.implies(lesser.condition) {
                refuse("severity", worse.severity, order(worse, lesser), None);
            }
        }
        let least = levels.last().map(|level| level.severity);
        for (severity, text) in severity_clear {
            let level = levels.iter_mut().find(|level| level.severity == *severity);
            match (Comparison::parse(text), level) {
                (Err(error), _) => refuse("severity_clear", *severity, error.into(), None),
                (Ok(_), None) => {
                    let hint = Some("name one of `severity`".to_owned());
                    refuse("severity_clear", *severity, AlertPlanError::NoSuchSeverity { severity: *severity }, hint);
                }
                (Ok(_), Some(_)) if least == Some(*severity) => {
                    let hint = Some("leave it out; `clear` ends the alert".to_owned());
                    refuse("severity_clear", *severity, AlertPlanError::LeastSeverity { severity: *severity }, hint);
                }
                (Ok(clear), Some(level)) if clear.overlaps(level.condition) => {
                    let hint = Some(format!("clear within `{}`", level.condition.negation()));
                    let error = AlertPlanError::ClearOverlaps { clear, when: level.condition };
                    refuse("severity_clear", *severity, error, hint);
                }
                (Ok(clear), Some(level)) => level.clear = clear,
            }
        }
        let levels = Self { levels, clears: !severity_clear.is_empty() };
        if errors.is_empty() {
            errors = levels.out_of_order(clear, rule);
        }
        if errors.is_empty() { Ok(levels) } else { Err(errors) }
    }

    /// Severities that would still last where a lesser one, or the alert itself, is over.
    fn out_of_order(&self, clear: Option<Comparison>, rule: &YamlPath) -> Vec<At<AlertPlanError>> {
        let lasting = self.levels.iter().rev().skip(1).filter(|_| self.clears);
        // The least severity ends with its alert.
        let mut before = clear.map(|clear| ("the alert", clear));
        let mut errors = Vec::new();
        for level in lasting {
            if let Some((earlier, by)) = before.filter(|(_, by)| !by.implies(level.clear)) {
                let earlier = earlier.to_owned();
                let error = AlertPlanError::ClearOrder { severity: level.severity, clear: level.clear, earlier, by };
                let path = rule.key("severity_clear").key(level.severity.name());
                errors.push(At { path, error, hint: Some(format!("clear it within what `{by}` leaves")) });
            }
            before = Some((level.severity.name(), level.clear));
        }
        errors
    }

    /// The severity of a measure and the limit of that; `before` is the one that the alert has. `None`: it keeps that.
    pub(super) fn severity(&self, value: f64, before: Option<Severity>) -> Option<(Severity, f64)> {
        let lasts = |level: &Level| {
            self.clears && before.is_some_and(|before| level.severity <= before) && !level.clear.holds(value)
        };
        let found = self.levels.iter().find(|level| level.condition.holds(value) || lasts(level));
        let least =
            || self.levels.last().filter(|level| self.clears && before.is_some_and(|before| level.severity <= before));
        found.or_else(least).map(|level| (level.severity, level.condition.limit()))
    }

    /// The limit of a severity.
    pub(super) fn limit(&self, severity: Option<Severity>) -> Option<f64> {
        let own = self.levels.iter().find(|level| Some(level.severity) == severity);
        own.map(|level| level.condition.limit())
    }
}

fn order(worse: Level, lesser: Level) -> AlertPlanError {
    AlertPlanError::SeverityOrder {
        worse: worse.severity,
        condition: worse.condition,
        lesser: lesser.severity,
        wider: lesser.condition,
    }
}
