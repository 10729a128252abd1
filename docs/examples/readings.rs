//! Readings of a made-up road, which the examples feed.

use std::error::Error;
use std::sync::Arc;

use arterial::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

/// First minute of the readings, microseconds since 1970 UTC.
const START_MICROS: i64 = 1_764_028_800_000_000;
/// Detectors along the road.
const DETECTORS: usize = 20;

/// A reading of every detector in one minute. In the second hour a queue stands from detector 8 to 11.
///
/// # Errors
/// As Arrow says.
pub fn readings(minute: i64) -> Result<RecordBatch, Box<dyn Error>> {
    let queued = |detector: usize| (60..120).contains(&minute) && (8..12).contains(&detector);
    let time = START_MICROS + minute * 60_000_000;
    let sensor: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..DETECTORS).map(|number| format!("L{number:02}"))));
    let observed: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time; DETECTORS]).with_timezone("UTC"));
    let speeds = (0..DETECTORS).map(|number| if queued(number) { 14.0 } else { 62.0 });
    let speed: ArrayRef = Arc::new(Float64Array::from_iter_values(speeds));
    Ok(RecordBatch::try_from_iter([("sensor_id", sensor), ("observed_at", observed), ("speed_mph", speed)])?)
}
