//! A day of Interstate 24: the speed at every milepost and time, mean of four lanes, and the episodes of `congestion`, one
//! for every lane.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use chrono::DateTime;
use plotters::prelude::*;

use crate::alerts::{Episode, episodes};
use crate::data::data_file;

const LANES: [u32; 4] = [1, 2, 3, 4];
/// Two minutes are a cell of the map.
const CELL_SECONDS: i64 = 120;
/// Speeds from red to green, miles per hour.
const FREE_MPH: f64 = 75.0;

/// Speed, occupancy and volume of one lane at one time and milepost, as the detector gave them.
type Reading = [Option<f64>; 3];

pub(crate) fn draw(path: &Path) -> Result<()> {
    let readings = read()?;
    let found = episodes("freeway-day.yaml", &lines(&readings)?)?;
    let (first, last) = match (readings.keys().next(), readings.keys().next_back()) {
        (Some(first), Some(last)) => (first.0, last.0),
        _ => return Err(anyhow!("there are no readings")),
    };
    let posts: Vec<f64> = readings.keys().take_while(|key| key.0 == first).map(|key| f64::from(key.1) / 10.0).collect();
    let (lowest, highest) =
        posts.iter().fold((f64::MAX, f64::MIN), |(low, high), post| (low.min(*post), high.max(*post)));
    let hour = |seconds: i64| (seconds.rem_euclid(86_400)) as f64 / 3600.0;
    let failed = |error: String| anyhow!("drawing: {error}");
    let area = SVGBackend::new(path, (1200, 520)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Speed on Interstate 24, 2023-12-08 (red 0 to green 75 mph); black: congestion alerts by lane",
            ("sans-serif", 18),
        )
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(hour(first)..hour(last), lowest - 0.1..highest + 0.2)
        .map_err(|error| failed(error.to_string()))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("hour of the day, UTC")
        .y_desc("milepost")
        .draw()
        .map_err(|error| failed(error.to_string()))?;
    let width = CELL_SECONDS as f64 / 3600.0;
    let cells = speeds(&readings).into_iter().map(|((cell, post), speed)| {
        let (x, y) = (hour(cell * CELL_SECONDS), f64::from(post) / 10.0);
        let share = (speed / FREE_MPH).clamp(0.0, 1.0);
        let colour = HSLColor(share / 3.0, 0.75, 0.75);
        Rectangle::new([(x, y), (x + width, y + 0.2)], colour.filled())
    });
    chart.draw_series(cells).map_err(|error| failed(error.to_string()))?;
    let line = |episode: &Episode| -> Option<PathElement<(f64, f64)>> {
        let post: f64 = episode.key.get("detector_id")?.parse().ok()?;
        let lane: f64 = episode.key.get("lane")?.parse().ok()?;
        // Lanes lie side by side within the detector's row.
        let y = post + 0.04 * lane;
        Some(PathElement::new([(hour(episode.from), y), (hour(episode.to.unwrap_or(last)), y)], BLACK.stroke_width(2)))
    };
    let lines = found.iter().filter(|episode| episode.rule == "congestion").filter_map(line);
    chart.draw_series(lines).map_err(|error| failed(error.to_string()))?;
    area.present().map_err(|error| failed(error.to_string()))?;
    Ok(())
}

/// Mean speed of all lanes by cell of time and milepost (tenths of a mile).
fn speeds(readings: &BTreeMap<(i64, u32, u32), Reading>) -> BTreeMap<(i64, u32), f64> {
    let mut sums: BTreeMap<(i64, u32), (f64, u32)> = BTreeMap::new();
    for ((seconds, post, _), [speed, ..]) in readings {
        if let Some(speed) = speed {
            let sum = sums.entry((seconds.div_euclid(CELL_SECONDS), *post)).or_default();
            *sum = (sum.0 + speed, sum.1 + 1);
        }
    }
    sums.into_iter().map(|(cell, (sum, count))| (cell, sum / f64::from(count))).collect()
}

/// By time, milepost in tenths of a mile, and lane.
fn read() -> Result<BTreeMap<(i64, u32, u32), Reading>> {
    let mut readings: BTreeMap<(i64, u32, u32), Reading> = BTreeMap::new();
    for lane in LANES {
        for (index, quantity) in ["speed", "occ", "volume"].into_iter().enumerate() {
            let file = std::fs::File::open(data_file(&format!("freeway_day/day_0_lane{lane}_{quantity}.csv.gz"))?)?;
            let mut text = String::new();
            flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
            for row in text.lines().skip(1) {
                let cells: Vec<&str> = row.split(',').collect();
                let number = |index: usize| cells.get(index).and_then(|cell| cell.parse::<f64>().ok());
                let (post, time) = (number(2).context("a milepost")?, number(6).context("a time")?);
                let key = (time as i64, (post * 10.0).round() as u32, lane);
                // The column before the time is what the detector gave, not smoothed.
                readings.entry(key).or_default()[index] = number(5);
            }
        }
    }
    Ok(readings)
}

/// The readings as messages of the pipeline's topic, in the order of their times.
fn lines(readings: &BTreeMap<(i64, u32, u32), Reading>) -> Result<String> {
    let mut lines = String::new();
    for ((seconds, post, lane), [speed, occupancy, volume]) in readings {
        let time = DateTime::from_timestamp(*seconds, 0).context("a time")?;
        let cell = |value: &Option<f64>| value.map_or("null".to_owned(), |value| value.to_string());
        writeln!(
            lines,
            r#"{{"detector_id":"{:.1}","lane":{lane},"observed_at":"{}","speed_mph":{},"occupancy_percent":{},"volume_veh":{}}}"#,
            f64::from(*post) / 10.0,
            time.to_rfc3339(),
            cell(speed),
            cell(occupancy),
            cell(volume)
        )?;
    }
    Ok(lines)
}
