//! Columns that had not varied when their means and spreads were fixed, and their values since -> the same set anew, once there
//! is a spread. Until then such a column said nothing, so that no weight means anything else than before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stages::predict::moments::Moments;

/// What is known of those columns by now, by place. Empty as a rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Unsettled(BTreeMap<u32, Moments>);

impl Unsettled {
    /// Those of the columns that have just been fixed.
    pub(super) fn of<'a>(fixed: impl Iterator<Item = &'a Moments>) -> Self {
        let numbered = (0_u32..).zip(fixed).filter(|(_, moments)| moments.unsettled());
        Self(numbered.map(|(place, moments)| (place, moments.clone())).collect())
    }

    /// Whether all columns have a spread.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a value of a column in. Its scale is set anew where what came before turned out to be no reading, and where it
    /// varies and what it says would be held at the edge of the scale that it has.
    pub(super) fn observe(&mut self, place: usize, value: f64, fixed: &mut Moments) {
        // A network reads fewer columns than that.
        let place = place as u32;
        let Some(running) = self.0.get_mut(&place) else { return };
        let spoofed_before = running.add_held(value);
        let varies = !running.unsettled();
        if spoofed_before || (varies && running.outgrows(fixed)) {
            *fixed = running.clone();
        }
        if varies {
            self.0.remove(&place);
        }
    }
}
