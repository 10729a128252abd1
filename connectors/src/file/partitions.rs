//! A batch of the file -> the rows of each partition, by murmur2 of the key column's text.

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::position::partition_of_key;

/// The values of a key column as the text that is a record's key: strings as they are, whole numbers in decimal.
///
/// # Errors
/// [`ArrowError::InvalidArgumentError`] for other types: two programs would write their values differently.
pub fn key_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let kind = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        plain => plain,
    };
    if !(kind.is_integer() || matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)) {
        let reason = format!("the partition key is of type {kind}; it must be text or a whole number");
        return Err(ArrowError::InvalidArgumentError(reason));
    }
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Rows of each partition, by their indices. A row without key lies in partition 0.
pub(super) fn rows_of_partitions(keys: &StringArray, partitions: u32) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); partitions.max(1) as usize];
    // A batch holds fewer than 2^32 rows.
    for (row, key) in (0u32..).zip(keys) {
        let number = key.map_or(0, |text| partition_of_key(text.as_bytes(), partitions));
        rows[number as usize].push(row);
    }
    rows
}

/// The rows of these indices; the whole batch where it is all of them.
pub(super) fn take_rows(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch, ArrowError> {
    if rows.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    take_record_batch(batch, &UInt32Array::from(rows))
}

/// The rows of each partition that has any, with its number.
///
/// # Errors
/// As Arrow says.
pub fn split_rows(
    batch: &RecordBatch,
    keys: &StringArray,
    partitions: u32,
) -> Result<Vec<(i32, RecordBatch)>, ArrowError> {
    let rows = (0i32..).zip(rows_of_partitions(keys, partitions)).filter(|(_, rows)| !rows.is_empty());
    rows.map(|(number, rows)| Ok((number, take_rows(batch, rows)?))).collect()
}

/// Adds how many rows each partition has in `keys`.
pub(super) fn count_rows(keys: &StringArray, partitions: u32, counts: &mut [i64]) {
    for key in keys {
        let number = key.map_or(0, |text| partition_of_key(text.as_bytes(), partitions));
        counts[number as usize] += 1;
    }
}
