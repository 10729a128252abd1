//! The protocols: which rows, how many labels, and the errors that a simple, well-known model makes on exactly these.
//!
//! Reference: one recursive least squares model per sensor and horizon over six lags and the seasonal profile, written
//! apart from the engine in Python and run over the same files, forecasts scored before their label is learned. Its
//! figures are rounded to two digits after the point. It is weak: what has to be reached, where that is known, is the must.
//!
//! The musts of METR-LA and Aarhus lie between those of one shared network that learns online and what it reached with all that
//! stands beside it, as prototypes in Python reached them on these labels.
//!
//! DCRNN (Li et al. 2018, "Diffusion Convolutional Recurrent Neural Network") and STAEformer (Liu et al. 2023, "STAEformer: Spatio-Temporal
//! Adaptive Embedding Makes Vanilla Transformer SOTA for Traffic Forecasting") are as published, for all 207 loops of METR-LA: compare with care.
//! T-GCN (Zhao et al. 2019, "T-GCN: A Temporal Graph Convolutional Network for Traffic Prediction") is the reference of
//! Los-loop at 15 minutes, as published.
//!
//! METR-LA: 60 loops, five-minute speeds, zeros are missing; the first 3,427 of 10,282 steps are for warming up, scored
//! is every later origin whose label exists, 3, 6 and 12 steps ahead. Aarhus: 449 segments on a grid of 17,474 steps;
//! scored are labels from step 13,979 (2014-09-18 20:45 local time) on, whether zero or not, the last value carried
//! forward without limit. Los-loop: 207 loops in one week of 2,016 five-minute steps, the first four fifths for warming
//! up, scored is every origin from the twelfth step of the last fifth on, horizons pooled over 1 to 3 and 1 to 12 steps.
#![allow(clippy::approx_constant, reason = "an error of 3.14 mph is not pi")]

use chrono_tz::Tz;

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
    /// Where the sensors are.
    pub(crate) zone: Tz,
    pub(crate) references: &'static [Reference],
}

impl DataSet {
    /// Predictors with each of their horizons that is judged alone, in minutes.
    pub(crate) fn horizons(&self) -> impl Iterator<Item = (&'static str, u32, Must)> {
        self.references.iter().filter_map(|reference| match reference.horizons_minutes {
            [minutes] => Some((reference.predictor, *minutes, reference.must)),
            _ => None,
        })
    }
}

/// What one predictor is judged by.
pub(crate) struct Reference {
    pub(crate) predictor: &'static str,
    /// One, or those that are pooled.
    pub(crate) horizons_minutes: &'static [u32],
    /// Labels that the protocol scores.
    pub(crate) labels: u64,
    /// `None` where nothing was published or measured: persistence has to be beaten in any case.
    pub(crate) mae: Option<f64>,
    pub(crate) rmse: Option<f64>,
    /// What has to be reached.
    pub(crate) must: Must,
    /// MAE and RMSE that are aimed at; NaN where nothing is.
    pub(crate) aim: [f64; 2],
    /// What others have published, on which data where it is not this.
    pub(crate) published: &'static str,
    pub(crate) unit: &'static str,
}

/// What has to be reached; NaN where nothing has.
#[derive(Clone, Copy)]
pub(crate) struct Must {
    pub(crate) mae: f64,
    pub(crate) rmse: f64,
    /// By which share the interval score of bounds is below that of split conformal prediction.
    pub(crate) narrower: f64,
}

impl Reference {
    const fn must(self, mae: f64, rmse: f64, narrower: f64) -> Self {
        Self { must: Must { mae, rmse, narrower }, ..self }
    }

    const fn aim(self, mae: f64, rmse: f64) -> Self {
        Self { aim: [mae, rmse], ..self }
    }

    const fn published(self, published: &'static str) -> Self {
        Self { published, ..self }
    }
}

const fn reference(
    (predictor, unit): (&'static str, &'static str),
    horizons_minutes: &'static [u32],
    labels: u64,
    mae: Option<f64>,
    rmse: Option<f64>,
) -> Reference {
    Reference {
        predictor,
        horizons_minutes,
        labels,
        mae,
        rmse,
        must: Must { mae: f64::NAN, rmse: f64::NAN, narrower: f64::NAN },
        aim: [f64::NAN; 2],
        published: "",
        unit,
    }
}

const LOOP_SPEED: (&str, &str) = ("speed", "mph");
const AARHUS_SPEED: (&str, &str) = ("speed", "km/h");
const AARHUS_COUNT: (&str, &str) = ("count", "vehicles");

/// All of them.
pub(crate) const DATA_SETS: [DataSet; 3] = [
    DataSet {
        name: "metr_la_60",
        pipeline: "loops-metr-la.yaml",
        rows: "metr_la_60/observations.parquet",
        partitions: 1,
        zone: chrono_tz::America::Los_Angeles,
        references: &[
            reference(LOOP_SPEED, &[15], 369_116, Some(3.14), Some(5.68))
                .must(2.88, 5.45, 0.18)
                .aim(2.78, f64::NAN)
                .published("DCRNN 2.77 (5.38), STAEformer 2.65 (5.11), of 207 loops"),
            reference(LOOP_SPEED, &[30], 368_936, Some(3.66), Some(6.72))
                .must(3.28, 6.45, 0.18)
                .aim(3.14, f64::NAN)
                .published("DCRNN 3.15 (6.45), STAEformer 2.97, of 207 loops"),
            reference(LOOP_SPEED, &[60], 368_576, Some(4.21), Some(7.63))
                .must(3.68, 7.45, 0.18)
                .aim(3.50, f64::NAN)
                .published("DCRNN 3.60 (7.60), STAEformer 3.34 (7.02), of 207 loops"),
        ],
    },
    DataSet {
        name: "aarhus",
        pipeline: "forecasts-aarhus.yaml",
        rows: "aarhus/traffic.parquet",
        partitions: 1,
        zone: chrono_tz::Europe::Copenhagen,
        references: &[
            reference(AARHUS_SPEED, &[15], 1_462_388, Some(6.16), Some(9.35)).must(5.25, 9.35, 0.07).aim(5.10, 9.2),
            reference(AARHUS_SPEED, &[30], 1_462_388, Some(6.86), Some(10.09)).must(6.02, 10.05, 0.07).aim(5.85, 9.9),
            reference(AARHUS_SPEED, &[60], 1_462_388, Some(7.41), Some(10.68)).must(6.68, 10.65, 0.07).aim(6.50, 10.5),
            reference(AARHUS_COUNT, &[15], 1_462_388, Some(1.22), None)
                .must(1.15, f64::NAN, f64::NAN)
                .aim(1.125, f64::NAN),
            reference(AARHUS_COUNT, &[30], 1_462_388, Some(1.23), None)
                .must(1.155, f64::NAN, f64::NAN)
                .aim(1.13, f64::NAN),
            reference(AARHUS_COUNT, &[60], 1_462_388, Some(1.24), None)
                .must(1.165, f64::NAN, f64::NAN)
                .aim(1.135, f64::NAN),
        ],
    },
    DataSet {
        name: "los_loop",
        pipeline: "loops-los-angeles.yaml",
        rows: "los_loop/observations.parquet",
        partitions: 1,
        zone: chrono_tz::America::Los_Angeles,
        references: &[
            reference(LOOP_SPEED, &[5, 10, 15], 242_811, Some(3.18), Some(5.13))
                .must(f64::NAN, 5.10, f64::NAN)
                .aim(f64::NAN, 4.9)
                .published("T-GCN 3.18 (5.13)"),
            reference(LOOP_SPEED, &[5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60], 960_066, None, None)
                .must(f64::NAN, 7.2, f64::NAN)
                .aim(f64::NAN, 6.8),
        ],
    },
];
