//! How long each partition has been silent -> the partitions that have turned idle. Time in which nobody looked, rows
//! that wait, pauses of our own and a broker that is away are not silence.

use std::collections::BTreeMap;

use arterial_connectors::position::Partition;

/// A worker looks several times a second. Where more than this lies between two looks, microseconds, it was busy or
/// the machine slept: the rest says nothing about the sensors.
const LOOK_EVERY_MAX: i64 = 1_000_000;

/// When a row of each partition was last heard; a partition that turned idle is absent until its next row.
#[derive(Debug)]
pub(crate) struct Silence {
    idle_after_micros: Option<i64>,
    looked_micros: Option<i64>,
    heard_micros: BTreeMap<Partition, i64>,
}

impl Silence {
    /// `idle_after_micros`: `None` where no partition ever turns idle.
    pub(crate) fn new(idle_after_micros: Option<i64>) -> Self {
        Self { idle_after_micros, looked_micros: None, heard_micros: BTreeMap::new() }
    }

    /// A row came, or the partition is read from now on.
    pub(crate) fn heard(&mut self, partition: Partition, now_micros: i64) {
        self.heard_micros.insert(partition, now_micros);
    }

    pub(crate) fn forget(&mut self, partition: Partition) {
        self.heard_micros.remove(&partition);
    }

    /// The partitions that have now been silent for `idle_after`. `away`: the broker does not answer. `waiting` gives,
    /// of partitions that seem silent, those of which rows may wait: their silence begins anew.
    pub(crate) fn turned_idle(
        &mut self,
        now_micros: i64,
        away: bool,
        waiting: impl FnOnce(&[Partition]) -> Vec<Partition>,
    ) -> Vec<Partition> {
        let Some(idle_after_micros) = self.idle_after_micros else { return Vec::new() };
        let since_look = self.looked_micros.replace(now_micros).map_or(0, |looked| now_micros.saturating_sub(looked));
        let unseen = if away { since_look } else { since_look - LOOK_EVERY_MAX }.max(0);
        for heard in self.heard_micros.values_mut() {
            *heard = heard.saturating_add(unseen).min(now_micros);
        }
        let silent = |heard: i64| now_micros - heard >= idle_after_micros;
        let mut quiet: Vec<Partition> =
            self.heard_micros.iter().filter(|(_, heard)| silent(**heard)).map(|(partition, _)| *partition).collect();
        if !quiet.is_empty() {
            let waiting = waiting(&quiet);
            waiting.iter().for_each(|partition| self.heard(*partition, now_micros));
            quiet.retain(|partition| !waiting.contains(partition));
        }
        quiet.iter().for_each(|partition| self.forget(*partition));
        quiet
    }
}
