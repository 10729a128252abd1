//! What the shipped pipelines say of real data, drawn beside the data: a month of air in Beijing, a day of a freeway, and
//! forecasts of the speeds of 60 loops.
//! `make plots` writes `target/plots/*.svg`.
#![allow(clippy::print_stdout, reason = "it says what it wrote")]

mod air;
mod alerts;
#[path = "../support/data.rs"]
mod data;
mod forecasts;
mod freeway;
#[path = "../support/pipeline.rs"]
mod pipeline;

use std::path::PathBuf;

use anyhow::Result;

fn main() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/plots");
    std::fs::create_dir_all(&folder)?;
    for (name, draw) in
        [("air-quality", air::draw as fn(&std::path::Path) -> Result<()>), ("freeway-day", freeway::draw)]
    {
        let path = folder.join(format!("{name}.svg"));
        draw(&path)?;
        println!("written to {}", path.display());
    }
    forecasts::draw(&folder)
}
