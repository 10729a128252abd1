//! Forecasts of 60 loops of Los Angeles: their error day by day beside the baselines, how often their bounds held by the hour
//! of the day, and a week of one loop against what came.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use arterial::runtime::Pipeline;
use arterial::stages::features::local_time;
use arterial::stages::predict::{Observed, Observer, ScoreTotal};
use chrono_tz::America::Los_Angeles;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::data::data_file;
use crate::pipeline::plan_of;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
const HORIZONS: [i64; 3] = [15, 30, 60];
const COLOURS: [RGBColor; 3] = [RGBColor(0, 90, 180), RGBColor(255, 140, 0), RGBColor(128, 0, 160)];
const PROMISED: f64 = 0.9;
const SPEED_MAX: f64 = 80.0;
/// The loop whose week is drawn: the first of the file.
const LOOP: usize = 0;

/// A forecast an hour ahead, its bounds, and what came.
struct Point {
    at: i64,
    forecast: f64,
    bounds: Option<(f64, f64)>,
    label: f64,
}

#[derive(Default)]
struct Seen {
    week: Vec<Point>,
    /// Labels and those inside, by horizon and hour of the day.
    held: [[(u64, u64); 24]; 3],
}

/// Draws all three into a folder.
pub(crate) fn draw(folder: &Path) -> Result<()> {
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/loops-metr-la.yaml");
    let rows = std::path::absolute(data_file("metr_la_60/observations.parquet")?)?.display().to_string();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let looking = Arc::clone(&seen);
    let look = move |observed: &Observed<'_>| looking.lock().unwrap_or_else(PoisonError::into_inner).take(observed);
    let plan = plan_of(&pipeline)?.with_file(rows, 1).with_observer(&Observer::new(look));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let summary = runtime.block_on(Pipeline::evaluation(&plan)?.run(std::future::pending()))?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let days: Vec<(i32, &[ScoreTotal])> = summary.days.iter().map(|(day, scores)| (*day, scores.as_slice())).collect();
    let path = |name: &str| folder.join(format!("forecasts-{name}.svg"));
    let said = |path: &Path, drawn: Drawn| {
        drawn.map_err(|error| anyhow!("{}: {error}", path.display()))?;
        println!("written to {}", path.display());
        Ok(())
    };
    let drawn: [(&str, Draw<'_>); 3] = [
        ("errors", &|path| errors(path, &days)),
        ("bounds", &|path| bounds(path, &seen)),
        ("week", &|path| week(path, &seen)),
    ];
    drawn.iter().try_for_each(|(name, draw)| said(&path(name), draw(&path(name))))
}

impl Seen {
    fn take(&mut self, observed: &Observed<'_>) {
        let horizon = HORIZONS.iter().position(|minutes| minutes * MINUTE == observed.horizon_micros);
        let Some(horizon) = horizon.filter(|_| observed.counted) else { return };
        let hour = (local_time(observed.target, Los_Angeles).day_micros / (60 * MINUTE)) as usize;
        for (key, (&forecast, &label)) in observed.forecasts.iter().zip(observed.labels).enumerate() {
            if !forecast.is_finite() || !label.is_finite() {
                continue;
            }
            let bounds = observed.bounds.and_then(|bounds| bounds.interval(key));
            let bounds = bounds.map(|(lower, upper)| (observed.limits.hold(lower), observed.limits.hold(upper)));
            if let Some((lower, upper)) = bounds {
                let (labels, inside) = &mut self.held[horizon][hour.min(23)];
                *labels += 1;
                *inside += u64::from((lower..=upper).contains(&label));
            }
            if key == LOOP && HORIZONS[horizon] == 60 {
                self.week.push(Point { at: observed.target.0, forecast, bounds, label });
            }
        }
    }
}

/// What draws a picture.
type Draw<'a> = &'a dyn Fn(&Path) -> Drawn;
/// A line of the week.
type Line = (&'static str, RGBColor, fn(&Point) -> f64);
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn canvas(path: &Path) -> Result<DrawingArea<SVGBackend<'_>, Shift>, Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (1200, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// Mean absolute errors of each day, 15 and 60 minutes ahead.
fn errors(path: &Path, days: &[(i32, &[ScoreTotal])]) -> Drawn {
    let area = canvas(path)?;
    let first = days.first().map_or(0, |(day, _)| *day);
    let until = days.last().map_or(1, |(day, _)| day - first);
    let mut chart = ChartBuilder::on(&area)
        .caption("METR-LA: mean absolute error by day (mph)", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..f64::from(until), 0.0..9.0)?;
    chart.configure_mesh().disable_x_mesh().x_desc("day since the first that is scored").draw()?;
    // The predictor's own is scored first, whatever its kind.
    let own = days.iter().find_map(|(_, scores)| scores.first()).ok_or("nothing was scored")?.model.as_str();
    for (index, model) in [own, "persistence", "profile"].into_iter().enumerate() {
        for minutes in [15, 60] {
            let of = |scores: &[ScoreTotal]| {
                let wanted = |score: &&ScoreTotal| score.model == model && score.horizon_micros == minutes * MINUTE;
                scores.iter().find(wanted).and_then(|score| score.sums.mae())
            };
            let points = days.iter().filter_map(|(day, scores)| Some((f64::from(day - first), of(scores)?)));
            let style = COLOURS[index].stroke_width(if minutes == 15 { 1 } else { 3 });
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(format!("{model}, {minutes} min"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}

/// Shares of labels inside their bounds, by the hour of the day.
fn bounds(path: &Path, seen: &Seen) -> Drawn {
    let area = canvas(path)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("METR-LA: share of labels inside bounds of 90 %, by the hour of the day", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..23.0, 0.8..1.0)?;
    chart.configure_mesh().x_labels(24).x_desc("hour, local time").draw()?;
    chart.draw_series(LineSeries::new([(0.0, PROMISED), (23.0, PROMISED)], BLACK.mix(0.5)))?;
    for (index, minutes) in HORIZONS.iter().enumerate() {
        let hours = seen.held[index].iter().enumerate().filter(|(_, (labels, _))| *labels > 0);
        let points = hours.map(|(hour, (labels, inside))| (hour as f64, *inside as f64 / *labels as f64));
        let style = COLOURS[index].stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(format!("{minutes} min"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}

/// The last week of one loop: what came, what was expected of it an hour before, and between which bounds.
fn week(path: &Path, seen: &Seen) -> Drawn {
    let area = canvas(path)?;
    let last = seen.week.last().map_or(0, |point| point.at);
    let first = last - 7 * DAY;
    let shown: Vec<&Point> = seen.week.iter().filter(|point| point.at >= first).collect();
    let day = |point: &Point| (point.at - first) as f64 / DAY as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption("METR-LA: one loop in the last week, and what was expected an hour before (mph)", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..7.0, 0.0..SPEED_MAX)?;
    chart.configure_mesh().disable_x_mesh().x_desc("day").draw()?;
    let lower = shown.iter().filter_map(|point| Some((day(point), point.bounds?.0)));
    let upper = shown.iter().rev().filter_map(|point| Some((day(point), point.bounds?.1)));
    let band: Vec<(f64, f64)> = lower.chain(upper).collect();
    let shade = COLOURS[0].mix(0.2);
    chart
        .draw_series([Polygon::new(band, shade.filled())])?
        .label("bounds of 90 %")
        .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], shade.filled()));
    let lines: [Line; 2] = [("came", BLACK, |point| point.label), ("expected", COLOURS[0], |point| point.forecast)];
    for (name, colour, value) in lines {
        let points = shown.iter().map(|point| (day(point), value(point)));
        chart
            .draw_series(LineSeries::new(points, colour))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerLeft).background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}
