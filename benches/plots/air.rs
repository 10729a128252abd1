//! January 2013 in Beijing: hourly PM2.5, the episodes in which it was expected above 75 ug/m3 within six hours, and those
//! in which its 24-hour mean was above the WHO's guideline.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use plotters::prelude::*;

use crate::alerts::{Episode, episodes};
use crate::data::data_file;

const HOUR: i64 = 3600;
/// Beijing's clock is ahead of UTC by this.
const AHEAD: i64 = 8 * HOUR;
const DAYS: i64 = 31;
const HIGHEST: f64 = 900.0;
const AHEAD_COLOUR: RGBColor = RGBColor(255, 140, 0);
const DAY_COLOUR: RGBColor = RGBColor(128, 0, 160);

struct Hour {
    /// Seconds since 1970 by the clock of Beijing.
    local: i64,
    pm25: Option<f64>,
}

pub(crate) fn draw(path: &Path) -> Result<()> {
    let (hours, lines) = read()?;
    let found = episodes("air-quality.yaml", &lines)?;
    let first = NaiveDate::from_ymd_opt(2013, 1, 1).context("a day")?.and_hms_opt(0, 0, 0).context("a time")?;
    let first = first.and_utc().timestamp();
    let day = |local: i64| (local - first) as f64 / (24 * HOUR) as f64;
    let area = SVGBackend::new(path, (1200, 420)).into_drawing_area();
    let failed = |error: String| anyhow!("drawing: {error}");
    area.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
    let mut chart = ChartBuilder::on(&area)
        .caption("PM2.5 in Beijing, January 2013 (ug/m3), and what pipelines/air-quality.yaml said", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..DAYS as f64, 0.0..HIGHEST)
        .map_err(|error| failed(error.to_string()))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(16)
        .x_desc("day of the month, local time")
        .draw()
        .map_err(|error| failed(error.to_string()))?;
    let band = |rule: &str, low: f64, high: f64, colour: RGBAColor| -> Vec<Rectangle<(f64, f64)>> {
        let end = |episode: &Episode| episode.to.map_or(DAYS as f64, |to| day(to + AHEAD));
        let within = |episode: &&Episode| episode.rule == rule && end(episode) > 0.0;
        let spans = found.iter().filter(within).map(|episode| (day(episode.from + AHEAD), end(episode)));
        let shown = spans.filter(|(from, _)| *from < DAYS as f64);
        shown
            .map(|(from, to)| Rectangle::new([(from.max(0.0), low), (to.min(DAYS as f64), high)], colour.filled()))
            .collect()
    };
    let legend = [
        ("pm25_ahead: above 75 expected within six hours", "pm25_ahead", 0.0, HIGHEST, AHEAD_COLOUR.mix(0.3)),
        ("pm25_day: 24 h mean above 15", "pm25_day", HIGHEST - 30.0, HIGHEST, DAY_COLOUR.mix(0.6)),
    ];
    for (label, rule, low, high, colour) in legend {
        chart
            .draw_series(band(rule, low, high, colour))
            .map_err(|error| failed(error.to_string()))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], colour.filled()));
    }
    let known: Vec<(f64, f64)> = hours.iter().filter_map(|hour| Some((day(hour.local), hour.pm25?))).collect();
    let shown = known.into_iter().filter(|(day, _)| (0.0..DAYS as f64).contains(day));
    chart
        .draw_series(LineSeries::new(shown, &BLACK))
        .map_err(|error| failed(error.to_string()))?
        .label("hourly mean")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(|error| failed(error.to_string()))?;
    area.present().map_err(|error| failed(error.to_string()))?;
    Ok(())
}

/// All hours up to the end of the month that is drawn, and the same as lines of JSON.
fn read() -> Result<(Vec<Hour>, String)> {
    let text = std::fs::read_to_string(data_file("air/beijing_pm25_pollution.csv")?)?;
    let (mut hours, mut lines) = (Vec::new(), String::new());
    for row in text.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let number = |index: usize| cells.get(index).and_then(|cell| cell.parse::<f64>().ok());
        let whole = |index: usize| number(index).map(|number| number as u32).context("a whole number");
        let date = NaiveDate::from_ymd_opt(whole(1)? as i32, whole(2)?, whole(3)?).context("a day")?;
        let time = date.and_hms_opt(whole(4)?, 0, 0).context("an hour")?;
        if (whole(1)?, whole(2)?) > (2013, 1) {
            break;
        }
        hours.push(Hour { local: time.and_utc().timestamp(), pm25: number(5) });
        let cell = |index: usize| number(index).map_or("null".to_owned(), |number| number.to_string());
        writeln!(
            lines,
            r#"{{"station_id":"beijing","observed_at":"{}","pm25_ug_m3":{},"dew_point_c":{},"temperature_c":{},"pressure_hpa":{},"wind_cumulated_m_s":{}}}"#,
            time.format("%Y-%m-%dT%H:%M:%S"),
            cell(5),
            cell(6),
            cell(7),
            cell(8),
            cell(10)
        )?;
    }
    Ok((hours, lines))
}
