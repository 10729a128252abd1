//! Seeded rows and labels by two laws: of quantities a linear one, of classes a noisy comparison.

use std::sync::{Arc, LazyLock};

use arterial::stages::features::{ColumnKind, FeatureColumn, FeatureMatrix};
use arterial::vocab::EventTime;

use crate::predict_support::{Numbers, SIZE, columns};

pub(crate) const FEATURES: usize = 3;

/// Columns of quantities.
pub(crate) fn feature_columns() -> Arc<[FeatureColumn]> {
    static COLUMNS: LazyLock<Arc<[FeatureColumn]>> = LazyLock::new(|| columns(FEATURES, &[]).into());
    Arc::clone(&COLUMNS)
}

/// Columns of classes: none tells of an earlier label.
pub(crate) fn class_columns() -> Arc<[FeatureColumn]> {
    static COLUMNS: LazyLock<Arc<[FeatureColumn]>> = LazyLock::new(|| {
        let column =
            |name: &str| FeatureColumn { name: name.to_owned(), kind: ColumnKind::OwnUnit, horizon_steps: None };
        ["a", "b", "c"].map(column).into()
    });
    Arc::clone(&COLUMNS)
}

/// A matrix of these rows.
pub(crate) fn matrix(step: i64, rows: &[[f64; FEATURES]]) -> FeatureMatrix {
    FeatureMatrix { end: EventTime(step * SIZE), columns: feature_columns(), rows: rows.len(), values: rows.concat() }
}

/// Rows and labels: label = 0.6 a + 0.3 b - 0.2 c + 5 + noise.
pub(crate) fn sample(keys: usize, step: i64, noise: f64) -> (FeatureMatrix, Vec<f64>) {
    let mut numbers = Numbers(step as u64 * 104_729 + 17);
    let rows: Vec<[f64; FEATURES]> =
        (0..keys).map(|_| [0; FEATURES].map(|_| 10.0 + 10.0 * numbers.uniform())).collect();
    let label = |row: &[f64; FEATURES]| 0.6 * row[0] + 0.3 * row[1] - 0.2 * row[2] + 5.0;
    let labels = rows.iter().map(|row| label(row) + noise * numbers.normal()).collect();
    (matrix(step, &rows), labels)
}

/// Rows and their classes: more often 1 the greater a - b, whatever c.
pub(crate) fn class_sample(keys: usize, step: i64) -> (FeatureMatrix, Vec<f64>) {
    let mut numbers = Numbers(step as u64 * 104_729 + 17);
    let values: Vec<f64> = (0..keys * FEATURES).map(|_| 100.0 + 10.0 * numbers.normal()).collect();
    let label = |row: &[f64]| f64::from(u8::from(row[0] - row[1] + 5.0 * numbers.normal() > 0.0));
    let labels = values.chunks_exact(FEATURES).map(label).collect();
    let features = FeatureMatrix { end: EventTime(step * SIZE), columns: class_columns(), rows: keys, values };
    (features, labels)
}
