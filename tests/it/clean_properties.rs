//! Cleaning as properties: batches cut anywhere, duplicates against a plain set, and state that comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arterial::stages::clean::{CleanStep, Cleaned, Cleaner, Limits, Missing, NormaliseMethod, Otherwise};
use arterial::vocab::Snapshot;
use proptest::prelude::*;

use crate::clean_support::*;
use crate::predict_support::MemoryState;

/// A plan with every kind of step.
fn every_step() -> Vec<CleanStep> {
    vec![
        null_if("speed_kmh", "speed_kmh < 0 OR CAST(note AS BIGINT) > 90"),
        dedupe(120),
        range("count", Limits { minimum: Some(0.0), maximum: Some(3.0) }, Otherwise::DeadLetter),
        lookup(&["segment_id", "lanes"], Missing::Drop),
        impute(&["speed_kmh", "count"], 60),
        normalise(&["speed_kmh"], NormaliseMethod::ZScore, learning(2, None, &["sensor_id"])),
        normalise(&["speed_kmh"], NormaliseMethod::Robust, learning(3, None, &[])),
        normalise(&["lanes"], NormaliseMethod::MinMax, learning(2, Some(4), &["segment_id"])),
        sql("SELECT *, lanes / count AS share, speed_kmh / (count - 2) AS odd FROM rows WHERE note <> '5'"),
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    let sensor =
        prop_oneof![Just(Some("A".to_owned())), Just(Some("B".to_owned())), Just(None), Just(Some("Z".to_owned()))];
    let speed = prop_oneof![Just(None), Just(Some(-99.0)), (0.0..300.0).prop_map(Some)];
    let number = (0_i32..95).prop_map(|number| Some(number.to_string()));
    let note = prop_oneof![3 => number, 1 => Just(Some("x".to_owned())), 1 => Just(None)];
    let count = prop_oneof![Just(None), (-1_i64..6).prop_map(Some)];
    (sensor, 0_i64..40, speed, count, note).prop_map(|(sensor, step, speed, count, note)| Row {
        sensor,
        time: step * 10 * SECOND,
        speed,
        count,
        note,
    })
}

/// Every row's fate by its place in the stream: what became of it, and the values where it went on.
type Fates = BTreeMap<usize, String>;
/// Blocks of a state.
type Blocks = BTreeMap<(String, u32), Vec<u8>>;

fn full_blocks(cleaner: &mut Cleaner) -> Blocks {
    let mut full = MemoryState::default();
    cleaner.snapshot(Snapshot::Full, &mut full);
    full.blocks
}

/// Runs a stream cut after each of `cuts`; where `restarts`, through a restored state at each cut.
fn run_stream(stream: &[Row], cuts: &[usize], restarts: bool) -> (Fates, Blocks) {
    let plan = Arc::new(plan(&every_step()).unwrap());
    let mut cleaner = Cleaner::new(Arc::clone(&plan));
    let mut store = MemoryState::default();
    let mut fates = Fates::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&stream.len()]) {
        let cleaned = cleaner.clean(rows(&stream[start..end])).unwrap();
        note_fates(&cleaned, start, &mut fates);
        start = end;
        if restarts {
            cleaner.snapshot(Snapshot::Changed, &mut store);
            cleaner = Cleaner::restore(Arc::clone(&plan), &store).unwrap();
        }
    }
    let full = full_blocks(&mut cleaner);
    if restarts {
        assert_eq!(store.blocks, full, "what commits wrote is the whole state");
    }
    (fates, full)
}

fn note_fates(cleaned: &Cleaned, start: usize, fates: &mut Fates) {
    let mut note = |origin: u32, fate: String| {
        assert_eq!(fates.insert(start + origin as usize, fate), None, "a row has one fate");
    };
    for (row, origin) in cleaned.rows.origin.iter().enumerate() {
        note(*origin, format!("{} {:?}", cleaned.rows.times[row], cleaned.rows.batch.slice(row, 1).columns()));
    }
    cleaned.filtered.iter().for_each(|origin| note(*origin, "filtered".to_owned()));
    cleaned.duplicates.iter().for_each(|origin| note(*origin, "duplicate".to_owned()));
    for rejected in &cleaned.rejected {
        note(rejected.origin, format!("{:?} {}", rejected.reason, rejected.detail));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn how_rows_are_cut_into_batches_changes_nothing(
        stream in prop::collection::vec(any_row(), 1..120),
        mut cuts in prop::collection::vec(0_usize..120, 0..12),
        restarts in any::<bool>(),
    ) {
        cuts.sort_unstable();
        cuts.retain(|cut| *cut <= stream.len());
        let (whole, whole_state) = run_stream(&stream, &[], false);
        prop_assert_eq!(whole.len(), stream.len());
        let (cut, cut_state) = run_stream(&stream, &cuts, restarts);
        prop_assert_eq!(whole, cut);
        prop_assert_eq!(whole_state, cut_state);
    }

    #[test]
    fn dedupe_agrees_with_a_set_of_every_reading_seen(
        readings in prop::collection::vec((0_u8..6, 0_i64..60), 1..300),
    ) {
        let within = 20 * SECOND;
        let mut newest = i64::MIN;
        let mut seen = BTreeSet::new();
        let mut expected = Vec::new();
        let mut stream = Vec::new();
        for (index, (sensor, second)) in readings.iter().enumerate() {
            let reading = row(&sensor.to_string(), *second, 1.0);
            newest = newest.max(reading.time);
            if reading.time >= newest - within && !seen.insert((*sensor, *second)) {
                expected.push(index as u32);
            }
            stream.push(reading);
        }
        prop_assert_eq!(clean(&[dedupe(20)], &stream).duplicates, expected);
    }
}

/// 60,000 readings of sensors that come and go, most of them twice.
fn long_stream() -> Vec<Row> {
    (0..60_000_i64).map(|i| row(&format!("s{}", i / 40 + i % 7), i / 20, i as f64)).collect()
}

#[test]
fn long_stream_keeps_dedupe_state_small_and_equal_however_it_is_committed() {
    let plan = Arc::new(plan(&[dedupe(60)]).unwrap());
    let stream = long_stream();
    let run = |batch_rows: usize, restarts: bool| {
        let mut cleaner = Cleaner::new(Arc::clone(&plan));
        let mut store = MemoryState::default();
        let mut duplicates = 0;
        for part in stream.chunks(batch_rows) {
            duplicates += cleaner.clean(rows(part)).unwrap().duplicates.len();
            cleaner.snapshot(Snapshot::Changed, &mut store);
            if restarts {
                cleaner = Cleaner::restore(Arc::clone(&plan), &store).unwrap();
            }
        }
        assert_eq!(store.blocks, full_blocks(&mut cleaner));
        (duplicates, store.blocks)
    };
    let distinct: BTreeSet<_> = stream.iter().map(|row| (row.sensor.clone(), row.time)).collect();
    let (duplicates, state) = run(60_000, false);
    assert_eq!(duplicates, stream.len() - distinct.len());
    assert_eq!(run(1_700, false), (duplicates, state.clone()));
    assert_eq!(run(3_001, true), (duplicates, state.clone()));
    // 60 s hold 420 readings; whole blocks are forgotten, so up to two blocks of 4,096 stay.
    let bytes: usize = state.values().map(Vec::len).sum();
    assert!(bytes < 60_000, "{bytes} bytes");
}

#[test]
fn commit_writes_only_the_end_of_the_dedupe_log() {
    let mut cleaner = Cleaner::new(Arc::new(plan(&[dedupe(86_400)]).unwrap()));
    let stream: Vec<Row> = (0..20_000).map(|i| row(&format!("s{}", i % 500), i / 500, 1.0)).collect();
    cleaner.clean(rows(&stream)).unwrap();
    cleaner.snapshot(Snapshot::Changed, &mut MemoryState::default());
    cleaner.clean(rows(&[row("s1", 100, 1.0)])).unwrap();
    let mut commit = MemoryState::default();
    cleaner.snapshot(Snapshot::Changed, &mut commit);
    assert_eq!(commit.writes, 2, "the head and the last block");
    let mut nothing = MemoryState::default();
    cleaner.snapshot(Snapshot::Changed, &mut nothing);
    assert!(nothing.writes <= 1, "at most the block that may still grow");
}

#[test]
fn dedupe_remembers_a_sensor_whose_name_is_empty() {
    let plan = Arc::new(plan(&[dedupe(600)]).unwrap());
    let mut cleaner = Cleaner::new(Arc::clone(&plan));
    let mut store = MemoryState::default();
    cleaner.clean(rows(&[row("", 0, 1.0)])).unwrap();
    cleaner.snapshot(Snapshot::Changed, &mut store);
    let mut restored = Cleaner::restore(plan, &store).unwrap();
    assert_eq!(restored.clean(rows(&[row("", 0, 1.0)])).unwrap().duplicates, [0]);
}

#[test]
fn damaged_dedupe_state_is_refused() {
    let plan = Arc::new(plan(&[dedupe(600)]).unwrap());
    let mut cleaner = Cleaner::new(Arc::clone(&plan));
    cleaner.clean(rows(&[row("A", 0, 1.0)])).unwrap();
    let mut store = MemoryState::default();
    cleaner.snapshot(Snapshot::Full, &mut store);
    let mut without_names = store.clone();
    without_names.blocks.retain(|(_, block), _| *block != 1 << 31);
    let error = Cleaner::restore(Arc::clone(&plan), &without_names).map(drop).unwrap_err().to_string();
    assert!(error.contains("series 0, which has no name"), "{error}");
    store.blocks.values_mut().for_each(|bytes| bytes.truncate(1));
    assert!(Cleaner::restore(plan, &store).is_err());
}
