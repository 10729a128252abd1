//! Values of all keys in a closed window -> of each key those of its neighbours, a column each or their mean.
//!
//! Who a key is, its name says, and ids are given out again: so keys are met by name, whenever they appear. Nothing of that
//! is state, since names and links tell it anew.

use super::graph::{Direction, Graph, NOBODY};
use crate::vocab::KeyId;

/// Stands for a key whose name was not asked for yet.
const UNMET: u32 = u32::MAX;
/// Stands for a key that is not in the graph.
const STRANGER: u32 = u32::MAX - 1;

/// What is looked at in neighbours, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// The lags that their values are.
    pub(super) lags: usize,
    /// The profile that deviations are from; values are looked at without one.
    pub(super) profile: Option<usize>,
    /// Whether the mean of all is the one column.
    pub(super) mean: bool,
    /// Windows after which a value counts no longer; `None`: it always counts.
    pub(super) age_max: Option<u8>,
}

/// Neighbours of one window column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NeighboursPlan {
    pub(super) look: Look,
    /// Neighbours of a key.
    count: usize,
    /// Names of the nodes, sorted.
    nodes: Vec<String>,
    /// Nodes x count: neighbours of each node, nearest first, [`NOBODY`] after the last.
    nearest: Vec<u32>,
}

impl NeighboursPlan {
    pub(super) fn new(graph: &Graph, direction: Direction, count: usize, look: Look) -> Self {
        Self { look, count, nodes: graph.nodes().to_vec(), nearest: graph.nearest(direction, count) }
    }

    /// Columns of the matrix.
    pub(super) fn width(&self) -> usize {
        if self.look.mean { 1 } else { self.count }
    }
}

/// Which keys of one partition are which nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Neighbours {
    /// By key: its node, [`STRANGER`] or [`UNMET`].
    nodes: Vec<u32>,
    /// By node: its key, or [`NOBODY`].
    keys: Vec<u32>,
}

impl Neighbours {
    /// Asks for the names of keys `0..count` that are not known yet; an id that is free has none.
    pub(super) fn meet<'a>(
        &mut self,
        plan: &NeighboursPlan,
        count: usize,
        name_of: &impl Fn(KeyId) -> Option<&'a str>,
    ) {
        self.nodes.resize(count.max(self.nodes.len()), UNMET);
        self.keys.resize(plan.nodes.len(), NOBODY);
        for (key, node) in self.nodes.iter_mut().enumerate().filter(|(_, node)| **node == UNMET) {
            let Some(name) = name_of(key as KeyId) else { continue };
            *node = match plan.nodes.binary_search_by(|known| known.as_str().cmp(name)) {
                Ok(found) => {
                    self.keys[found] = key as KeyId;
                    found as u32
                }
                Err(_) => STRANGER,
            };
        }
    }

    /// Fills a key's columns from the values of all keys, NaN where there is none. What stands in for a neighbour without
    /// value says nothing of its own: `usual`, so that a model can always forecast.
    pub(super) fn fill(&self, plan: &NeighboursPlan, key: usize, values: &[f64], usual: f64, row: &mut [f64]) {
        let known = |neighbour: &u32| {
            let key = *self.keys.get(*neighbour as usize)?;
            values.get(key as usize).copied().filter(|value| !value.is_nan())
        };
        let node = self.nodes.get(key).copied().unwrap_or(UNMET) as usize;
        let nearest = plan.nearest.get(node.saturating_mul(plan.count)..).unwrap_or_default();
        let nearest = &nearest[..plan.count.min(nearest.len())];
        if plan.look.mean {
            let (sum, count) =
                nearest.iter().filter_map(known).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            row[0] = if count > 0.0 { sum / count } else { usual };
            return;
        }
        row.fill(usual);
        for (column, value) in row.iter_mut().zip(nearest.iter().map(known)) {
            *column = value.unwrap_or(usual);
        }
    }

    pub(super) fn forget(&mut self, keys: &[KeyId]) {
        for key in keys.iter().map(|key| *key as usize) {
            let Some(node) = self.nodes.get_mut(key) else { continue };
            if let Some(of_node) = self.keys.get_mut(*node as usize) {
                *of_node = NOBODY;
            }
            *node = UNMET;
        }
    }
}
