//! A table of links, or a matrix of weights -> who is next to whom, nearest first. What the nodes are called is all that
//! it knows of them: a link to a sensor that never reports is fine.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stages::clean::{KEY_SEPARATOR, Table};

/// Stands where there is no further neighbour.
pub(super) const NOBODY: u32 = u32::MAX;

/// Which neighbours of a key are meant, where its links lead downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Those that link to it.
    Upstream,
    /// Those that it links to.
    Downstream,
    /// Either; who is on both sides counts once, with the nearer of the two links.
    #[default]
    Both,
}

/// The columns of a table that say what its links are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSettings {
    /// Where a link begins.
    pub from: String,
    /// Where it ends; without it every other column is a node, and its cells are weights, 0 or null for no link.
    pub to: Option<String>,
    /// Its weight: more is nearer.
    pub weight: Option<String>,
    /// Its length: less is nearer.
    pub distance: Option<String>,
}

/// A table that is no graph. Rows count from 1, without the header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// No such column.
    #[error("table `{table}` has no column `{name}`")]
    NoColumn {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
    /// A link without the number that says how near it is.
    #[error("table `{table}`: `{name}` of row {row} is no number {wanted}")]
    Number {
        /// The table.
        table: String,
        /// The column.
        name: String,
        /// The row.
        row: usize,
        /// What it should be.
        wanted: &'static str,
    },
    /// A node that is next to itself.
    #[error("table `{table}`: row {row} links `{node}` to itself")]
    ToItself {
        /// The table.
        table: String,
        /// The row.
        row: usize,
        /// The node.
        node: String,
    },
    /// Nothing in it.
    #[error("table `{table}` holds no links")]
    Empty {
        /// The table.
        table: String,
    },
}

/// Who is next to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    table: String,
    /// Names of the nodes, sorted.
    nodes: Vec<String>,
    /// Nearest first; of those that are equally near the one that stands first in the table.
    links: Vec<Link>,
}

/// From one node to another, by number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Link {
    from: u32,
    to: u32,
    /// More is nearer.
    nearness: f64,
}

impl Graph {
    /// Reads the links of a table, which is keyed by the columns that `settings` names, `from` first.
    ///
    /// # Errors
    /// [`GraphError`] with the row: correct the table, or its `graph`.
    pub fn of(table: &Table, settings: &GraphSettings) -> Result<Self, GraphError> {
        let named = match settings.to {
            Some(_) => listed(table, settings)?,
            None => weighted(table, &settings.from)?,
        };
        if named.is_empty() {
            return Err(GraphError::Empty { table: table.name().to_owned() });
        }
        let names = named.iter().flat_map(|(from, to, _)| [*from, *to]);
        let mut numbers: BTreeMap<&str, u32> = names.map(|name| (name, 0)).collect();
        numbers.values_mut().enumerate().for_each(|(number, value)| *value = number as u32);
        let link = |(from, to, nearness): &(&str, &str, f64)| Link {
            from: numbers[from],
            to: numbers[to],
            nearness: *nearness,
        };
        let mut links: Vec<Link> = named.iter().map(link).collect();
        links.sort_by(|one, other| other.nearness.total_cmp(&one.nearness));
        Ok(Self {
            table: table.name().to_owned(),
            nodes: numbers.keys().map(|name| (*name).to_owned()).collect(),
            links,
        })
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Names of the nodes, sorted.
    pub(super) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// `count` neighbours of each node, nearest first, [`NOBODY`] after the last.
    pub(super) fn nearest(&self, direction: Direction, count: usize) -> Vec<u32> {
        let mut nearest = vec![NOBODY; self.nodes.len() * count];
        let mut add = |node: u32, neighbour: u32| {
            let slots = &mut nearest[node as usize * count..(node as usize + 1) * count];
            let free = slots.iter().position(|slot| *slot == NOBODY || *slot == neighbour);
            if let Some(free) = free {
                slots[free] = neighbour;
            }
        };
        for link in &self.links {
            if direction != Direction::Downstream {
                add(link.to, link.from);
            }
            if direction != Direction::Upstream {
                add(link.from, link.to);
            }
        }
        nearest
    }
}

/// From, to and nearness of each row.
fn listed<'a>(table: &'a Table, settings: &GraphSettings) -> Result<Vec<(&'a str, &'a str, f64)>, GraphError> {
    let nearness = match (&settings.weight, &settings.distance) {
        (Some(weight), _) => numbers(table, weight, "above 0", |weight| (weight > 0.0).then_some(weight))?,
        (None, Some(distance)) => {
            numbers(table, distance, "of at least 0", |distance| (distance >= 0.0).then_some(-distance))?
        }
        (None, None) => vec![0.0; table.keys().len()],
    };
    let mut links = Vec::with_capacity(nearness.len());
    for (index, (key, nearness)) in table.keys().iter().zip(nearness).enumerate() {
        let (from, to) = key.split_once(KEY_SEPARATOR).unwrap_or((key, key));
        if from == to {
            let (table, node) = (table.name().to_owned(), from.to_owned());
            return Err(GraphError::ToItself { table, row: index + 1, node });
        }
        links.push((from, to, nearness));
    }
    Ok(links)
}

/// The same of a matrix, in the order of its rows, then of its columns' names. Its diagonal says nothing.
fn weighted<'a>(table: &'a Table, from: &str) -> Result<Vec<(&'a str, &'a str, f64)>, GraphError> {
    let mut by_row = vec![Vec::new(); table.keys().len()];
    for name in table.column_names().filter(|name| *name != from) {
        let weights = nullable(table, name)?;
        for (row, (key, weight)) in table.keys().iter().zip(weights).enumerate() {
            let Some(weight) = weight.filter(|_| key != name) else { continue };
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(no_number(table, name, row + 1, "of at least 0"));
            }
            if weight > 0.0 {
                by_row[row].push((key.as_str(), name, weight));
            }
        }
    }
    Ok(by_row.concat())
}

/// A number of every row.
fn numbers(
    table: &Table,
    name: &str,
    wanted: &'static str,
    nearness: impl Fn(f64) -> Option<f64>,
) -> Result<Vec<f64>, GraphError> {
    let numbers = nullable(table, name)?.into_iter().enumerate();
    let of_row = |(row, number): (usize, Option<f64>)| {
        let finite = number.filter(|number| number.is_finite());
        finite.and_then(&nearness).ok_or_else(|| no_number(table, name, row + 1, wanted))
    };
    numbers.map(of_row).collect()
}

fn nullable(table: &Table, name: &str) -> Result<Vec<Option<f64>>, GraphError> {
    let no_column = || GraphError::NoColumn { table: table.name().to_owned(), name: name.to_owned() };
    let column = table.column(name).ok_or_else(no_column)?;
    if matches!(column.data_type(), DataType::Boolean) {
        return Err(no_number(table, name, 1, "but true or false"));
    }
    // Text of which all is null holds numbers as well as any.
    let cast = cast(column, &DataType::Float64).map_err(|_| no_number(table, name, 1, "at all"))?;
    let numbers = cast.as_primitive::<Float64Type>();
    if let Some(row) = (0..column.len()).find(|row| column.is_valid(*row) && numbers.is_null(*row)) {
        return Err(no_number(table, name, row + 1, "at all"));
    }
    Ok(numbers.iter().collect())
}

fn no_number(table: &Table, name: &str, row: usize, wanted: &'static str) -> GraphError {
    GraphError::Number { table: table.name().to_owned(), name: name.to_owned(), row, wanted }
}
