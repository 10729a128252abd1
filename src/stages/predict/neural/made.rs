//! The newest forecasts of a network, kept so that explaining one of them does not make those of all keys again. No part of the
//! state: without them they are made anew.

use std::cell::RefCell;

use crate::vocab::EventTime;

/// Forecasts made from the features of one window: `[horizon][key]`.
#[derive(Debug, Default)]
pub(super) struct Made(RefCell<Option<(EventTime, Vec<Vec<f64>>)>>);

impl Made {
    pub(super) fn keep(&self, end: EventTime, forecasts: &[Vec<f64>]) {
        *self.0.borrow_mut() = Some((end, forecasts.to_vec()));
    }

    /// The network has learned: it would not make them again.
    pub(super) fn clear(&mut self) {
        *self.0.get_mut() = None;
    }

    /// One of them, if they are of that window.
    pub(super) fn get(&self, end: EventTime, horizon: usize, key: usize) -> Option<f64> {
        let made = self.0.borrow();
        let (of, forecasts) = made.as_ref()?;
        (*of == end).then(|| forecasts.get(horizon)?.get(key).copied()).flatten()
    }
}
