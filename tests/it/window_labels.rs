//! Windows of rows some of which are imputed: outputs are of all of them, labels of those that were measured.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use arterial::stages::rows::Rows;
use arterial::stages::window::{WindowPlan, WindowSettings, Windows};
use arterial::vocab::EventTime;

use super::window_support::{MINUTE, batch, columns, row, schema, settings};

#[test]
fn labels_are_of_the_rows_alone_in_which_nothing_was_imputed() {
    let aggregates = [("n", "count(speed)"), ("rows_in", "count(*)"), ("speed", "avg(speed)"), ("total", "sum(speed)")];
    let settings = WindowSettings { columns: columns(&aggregates), imputed: true, ..settings() };
    let fields = schema()
        .fields()
        .iter()
        .cloned()
        .chain([Arc::new(Field::new("imputed", DataType::Boolean, false))])
        .collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let mut windows = Windows::new(Arc::new(WindowPlan::new(settings, &schema).expect("a plan")));
    let given = batch(&[row(0, "A", 50.0), row(MINUTE, "A", 70.0), row(2 * MINUTE, "A", 90.0), row(0, "B", 10.0)]);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, true, true]));
    let with_flags = given.batch.columns().iter().cloned().chain([flags]).collect();
    let rows = Rows { batch: RecordBatch::try_new(schema, with_flags).expect("a batch"), ..given };
    assert_eq!(windows.push(&rows, &[], &mut |_, _| {}), []);
    let mut closed = Vec::new();
    windows.close_until(EventTime(5 * MINUTE), &mut |_, window| closed.push(window.clone()));
    let [window] = closed.as_slice() else { panic!("{} windows", closed.len()) };
    let values: Vec<f64> = window.columns.iter().map(|column| column[0]).collect();
    assert_eq!(values, [3.0, 3.0, 70.0, 210.0], "windows take imputed rows");
    let labels: Vec<f64> = (0..4).map(|column| window.label(column, 0, 1)).collect();
    assert_eq!(labels, [1.0, 1.0, 50.0, 50.0], "labels do not");
    assert!(window.label(2, 0, 2).is_nan() && (0..4).all(|column| window.label(column, 1, 1).is_nan()), "too few rows");
    assert!(window.measured(2, 0, 1) && !window.measured(2, 1, 1));
}
