//! Medians of all repeats -> a table for people and `target/bench.json` for machines.

use comfy_table::Table;

use crate::figures::Figure;
use crate::measure::{Cost, median};

/// What was measured of each depth, in order, with the raw read beside it.
#[derive(Default)]
pub(crate) struct Report {
    depths: Vec<(&'static str, Vec<(Cost, Cost)>)>,
}

impl Report {
    pub(crate) fn add(&mut self, name: &'static str, raw: Cost, cost: Cost) {
        match self.depths.iter_mut().find(|(known, _)| *known == name) {
            Some((_, costs)) => costs.push((raw, cost)),
            None => self.depths.push((name, vec![(raw, cost)])),
        }
    }

    fn raw(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        median(self.depths.iter().flat_map(|(_, costs)| costs).map(|(raw, _)| figure(raw)))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header(["up to", "M rows/s", "to raw", "CPU ns/row", "of which here", "M rows/CPU-s"]);
        let raw_ns = self.raw(Cost::cpu_ns_per_row);
        table.add_row([
            "raw librdkafka".to_owned(),
            format!("{:.2}", self.raw(Cost::rows_per_s) / 1e6),
            "1.00".to_owned(),
            format!("{raw_ns:.0}"),
            format!("{raw_ns:.0}"),
            format!("{:.2}", self.raw(Cost::rows_per_cpu_s) / 1e6),
        ]);
        let mut before = raw_ns;
        for (name, costs) in &self.depths {
            let middle = |figure: &dyn Fn(&Cost) -> f64| median(costs.iter().map(|(_, cost)| figure(cost)));
            let ns = middle(&Cost::cpu_ns_per_row);
            table.add_row([
                (*name).to_owned(),
                format!("{:.2}", middle(&Cost::rows_per_s) / 1e6),
                format!("{:.2}", to_raw(costs)),
                format!("{ns:.0}"),
                format!("{:+.0}", ns - before),
                format!("{:.2}", middle(&Cost::rows_per_cpu_s) / 1e6),
            ]);
            before = ns;
        }
        table
    }

    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::new("kafka.raw_rows_per_s", self.raw(Cost::rows_per_s), "rows/s"),
            Figure::new("kafka.raw_cpu_ns_per_row", self.raw(Cost::cpu_ns_per_row), "ns"),
        ];
        for (name, costs) in &self.depths {
            let middle = |of: &dyn Fn(&Cost) -> f64| median(costs.iter().map(|(_, cost)| of(cost)));
            figures.push(Figure::new(format!("kafka.{name}_rows_per_s"), middle(&Cost::rows_per_s), "rows/s"));
            figures.push(Figure::new(format!("kafka.{name}_cpu_ns_per_row"), middle(&Cost::cpu_ns_per_row), "ns"));
            figures.push(Figure::new(format!("kafka.{name}_to_raw"), to_raw(costs), "ratio"));
        }
        figures
    }
}

/// Each run against the raw read just before it, so that a machine that grows slower spoils neither.
fn to_raw(costs: &[(Cost, Cost)]) -> f64 {
    median(costs.iter().map(|(raw, cost)| cost.rows_per_s() / raw.rows_per_s()))
}
