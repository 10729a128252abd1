//! The protocols: which rows, how many labels, and the errors that a simple, well-known model makes on exactly these.
//!
//! Reference: one recursive least squares model per sensor and horizon over six lags and the seasonal profile, written
//! apart from the engine in Python and run over the same files, forecasts scored before their label is learned. Its
//! figures are rounded to two digits after the point.
//!
//! METR-LA: 60 loops, five-minute speeds, zeros are missing; the first 3,427 of 10,282 steps are for warming up, scored
//! is every later origin whose label exists, 3, 6 and 12 steps ahead. Aarhus: 449 segments on a grid of 17,474 steps;
//! scored are labels from step 13,979 (2014-09-18 20:45 local time) on, whether zero or not, the last value carried
//! forward without limit.
#![allow(clippy::approx_constant, reason = "an error of 3.14 mph is not pi")]

/// How much larger than the reference's an RMSE may be: a model that minimises absolute errors pays a little in squares.
pub(crate) const RMSE_SLACK: f64 = 1.02;

/// A data set with a protocol.
pub(crate) struct DataSet {
    pub(crate) name: &'static str,
    /// The shipped pipeline.
    pub(crate) pipeline: &'static str,
    /// File of its rows, under the folder of the data sets.
    pub(crate) rows: &'static str,
    pub(crate) partitions: u32,
    pub(crate) references: &'static [Reference],
}

/// What one predictor is judged by at one horizon.
pub(crate) struct Reference {
    pub(crate) predictor: &'static str,
    pub(crate) horizon_minutes: u32,
    /// Labels that the protocol scores.
    pub(crate) labels: u64,
    pub(crate) mae: f64,
    /// `None` where the reference was not measured.
    pub(crate) rmse: Option<f64>,
    pub(crate) unit: &'static str,
}

const fn reference(
    (predictor, unit): (&'static str, &'static str),
    horizon_minutes: u32,
    labels: u64,
    mae: f64,
    rmse: Option<f64>,
) -> Reference {
    Reference { predictor, horizon_minutes, labels, mae, rmse, unit }
}

const METR_LA: (&str, &str) = ("speed", "mph");
const AARHUS_SPEED: (&str, &str) = ("speed", "km/h");
const AARHUS_COUNT: (&str, &str) = ("count", "vehicles");

/// All of them.
pub(crate) const DATA_SETS: [DataSet; 2] = [
    DataSet {
        name: "metr_la_60",
        pipeline: "loops-metr-la.yaml",
        rows: "metr_la_60/observations.parquet",
        partitions: 4,
        references: &[
            reference(METR_LA, 15, 369_116, 3.14, Some(5.68)),
            reference(METR_LA, 30, 368_936, 3.66, Some(6.72)),
            reference(METR_LA, 60, 368_576, 4.21, Some(7.63)),
        ],
    },
    DataSet {
        name: "aarhus",
        pipeline: "congestion-aarhus.yaml",
        rows: "aarhus/traffic.parquet",
        partitions: 8,
        references: &[
            reference(AARHUS_SPEED, 15, 1_462_388, 6.16, Some(9.35)),
            reference(AARHUS_SPEED, 30, 1_462_388, 6.86, Some(10.09)),
            reference(AARHUS_SPEED, 60, 1_462_388, 7.41, Some(10.68)),
            reference(AARHUS_COUNT, 15, 1_462_388, 1.22, None),
            reference(AARHUS_COUNT, 30, 1_462_388, 1.23, None),
            reference(AARHUS_COUNT, 60, 1_462_388, 1.24, None),
        ],
    },
];
