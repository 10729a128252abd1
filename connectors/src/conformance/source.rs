//! The checks of a source. Each opens its readers on a topic of its own and compares what they deliver.

use std::collections::BTreeMap;

use super::reader::{Reader, Rows, same_rows};
use super::{Failure, SourceHarness};
use crate::position::Partition;
use crate::source::{SeekTo, SourceError, Until};

/// Whether a check could be done.
enum Done {
    Yes,
    /// The harness cannot bring about what it needs.
    NotPossible,
}

type Check = fn(&mut dyn SourceHarness) -> Result<Done, String>;

/// The checks by name, in the order they run.
const CHECKS: [(&str, Check); 10] = [
    ("rows_come_in_offset_order_each_exactly_once", in_order_once),
    ("partition_counts_say_how_many_there_are", counts),
    ("nothing_comes_before_seek", nothing_before_seek),
    ("new_reader_replays_the_same_rows_from_a_position", replay_after_restart),
    ("seek_back_repeats_the_same_rows_and_the_end", seek_back),
    ("pause_and_resume_lose_and_repeat_nothing", pause_resume),
    ("end_stands_where_the_partition_ended_when_it_was_assigned", end_is_captured),
    ("rows_that_arrive_later_are_delivered", rows_arrive_later),
    ("nothing_comes_after_revoked_and_release_gives_the_partition_up", release_after_revoked),
    ("partition_that_is_not_assigned_is_refused", not_assigned),
];

/// Names of all checks of a source.
pub const SOURCE_CHECKS: [&str; CHECKS.len()] = {
    let mut names = [""; CHECKS.len()];
    let mut index = 0;
    while index < CHECKS.len() {
        names[index] = CHECKS[index].0;
        index += 1;
    }
    names
};

/// Puts a source through all checks that its harness makes possible, and names them.
///
/// # Errors
/// The first [`Failure`].
pub fn check_source(harness: &mut dyn SourceHarness) -> Result<Vec<&'static str>, Failure> {
    let mut passed = Vec::new();
    for (check, run) in CHECKS {
        harness.fill().map_err(|reason| Failure { check, reason: format!("fill: {reason}") })?;
        match run(harness) {
            Ok(Done::Yes) => passed.push(check),
            Ok(Done::NotPossible) => {}
            Err(reason) => return Err(Failure { check, reason }),
        }
    }
    Ok(passed)
}

/// A reader that has been assigned everything.
fn open(harness: &mut dyn SourceHarness, until: Until) -> Result<Reader, String> {
    let partitions = harness.partitions();
    let source = harness.open(until).map_err(|error| format!("open: {error}"))?;
    let mut reader = Reader::new(source, harness.patience());
    reader.assigned(&partitions)?;
    Ok(reader)
}

/// Everything the topic holds.
fn read_all(harness: &mut dyn SourceHarness) -> Result<Rows, String> {
    let partitions = harness.partitions();
    let mut reader = open(harness, Until::Latest)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.ends(&partitions)?;
    Ok(reader.rows)
}

fn in_order_once(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let mut reader = open(harness, Until::Latest)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.ends(&partitions)?;
    reader.quiet()?;
    let rows: usize = partitions.iter().map(|partition| reader.count(*partition)).sum();
    if rows != harness.rows_total() {
        return Err(format!("{rows} rows came of {}", harness.rows_total()));
    }
    match partitions.iter().find(|partition| reader.count(**partition) < 30) {
        Some(partition) => Err(format!("the harness gave {partition:?} fewer than 30 rows")),
        None => Ok(Done::Yes),
    }
}

fn counts(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let mut reader = open(harness, Until::Latest)?;
    let counts = reader.source.partition_counts().map_err(|error| error.to_string())?;
    let counted: Vec<Partition> = (0u16..)
        .zip(&counts)
        .flat_map(|(topic, count)| (0..*count as i32).map(move |number| Partition { topic, number }))
        .collect();
    if counted != harness.partitions() {
        return Err(format!("{counts:?} are not the partitions {:?}", harness.partitions()));
    }
    Ok(Done::Yes)
}

fn nothing_before_seek(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    open(harness, Until::Latest)?.quiet()?;
    Ok(Done::Yes)
}

fn replay_after_restart(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let reference = read_all(harness)?;
    // The first row, one in the middle, the last, and behind the last.
    for numerator in 0..=3 {
        let mut reader = open(harness, Until::Latest)?;
        let mut expected = BTreeMap::new();
        for partition in &partitions {
            let rows = &reference[partition];
            let offsets: Vec<i64> = rows.keys().copied().collect();
            let at = (offsets.len() - 1) * numerator.min(2) / 2;
            let from = offsets[at] + i64::from(numerator == 3);
            reader.seek(*partition, SeekTo::Offset(from))?;
            expected.insert(*partition, rows.clone().split_off(&from));
        }
        reader.ends(&partitions)?;
        for partition in &partitions {
            same_rows(&expected[partition], &reader.rows[partition])
                .map_err(|reason| format!("{partition:?}, part {numerator} of 3: {reason}"))?;
        }
    }
    Ok(Done::Yes)
}

fn seek_back(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let mut reader = open(harness, Until::Latest)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.ends(&partitions)?;
    let reference = reader.rows.clone();
    // One partition alone, from its middle: the others stay at their ends.
    let middle = reference[&partitions[0]].keys().copied().nth(15).unwrap_or(0);
    reader.seek(partitions[0], SeekTo::Offset(middle))?;
    reader.ends(&partitions)?;
    same_rows(&reference[&partitions[0]].clone().split_off(&middle), &reader.rows[&partitions[0]])?;
    // All, before they have ended again.
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.rows_of(partitions[1], 1)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.ends(&partitions)?;
    partitions.iter().try_for_each(|partition| same_rows(&reference[partition], &reader.rows[partition]))?;
    Ok(Done::Yes)
}

fn pause_resume(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let reference = read_all(harness)?;
    let (paused, others) = (partitions[0], &partitions[1..]);
    let mut reader = open(harness, Until::Latest)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.rows_of(paused, 1)?;
    reader.pause(paused)?;
    reader.ends(others)?;
    reader.quiet()?;
    reader.resume(paused)?;
    reader.ends(&partitions)?;
    partitions.iter().try_for_each(|partition| same_rows(&reference[partition], &reader.rows[partition]))?;
    Ok(Done::Yes)
}

fn end_is_captured(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let reference = read_all(harness)?;
    let mut reader = open(harness, Until::Latest)?;
    if !harness.grow()? {
        return Ok(Done::NotPossible);
    }
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.ends(&partitions)?;
    reader.quiet()?;
    partitions.iter().try_for_each(|partition| same_rows(&reference[partition], &reader.rows[partition]))?;
    Ok(Done::Yes)
}

fn rows_arrive_later(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let reference = read_all(harness)?;
    let mut reader = open(harness, Until::Forever)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    for partition in &partitions {
        reader.rows_of(*partition, reference[partition].len())?;
    }
    if !harness.grow()? {
        return Ok(Done::NotPossible);
    }
    for partition in &partitions {
        reader.rows_of(*partition, reference[partition].len() + 1)?;
    }
    match partitions.iter().find(|partition| reader.ended(**partition)) {
        Some(partition) => Err(format!("{partition:?} ended although it was opened for ever")),
        None => Ok(Done::Yes),
    }
}

fn release_after_revoked(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let reference = read_all(harness)?;
    let mut reader = open(harness, Until::Latest)?;
    reader.seek_all(&partitions, SeekTo::Start)?;
    reader.rows_of(partitions[0], 1)?;
    if !harness.revoke()? {
        return Ok(Done::NotPossible);
    }
    let (revoked, others) = reader.revoked(&partitions)?;
    if others.is_empty() {
        return Err("the harness revoked all partitions".to_owned());
    }
    reader.ends(&others)?;
    reader.quiet()?;
    reader.source.release(&revoked).map_err(|error| format!("release: {error}"))?;
    if !matches!(reader.source.seek(revoked[0], SeekTo::Start), Err(SourceError::NotAssigned(_))) {
        return Err("a released partition could still be sought".to_owned());
    }
    others.iter().try_for_each(|partition| same_rows(&reference[partition], &reader.rows[partition]))?;
    Ok(Done::Yes)
}

fn not_assigned(harness: &mut dyn SourceHarness) -> Result<Done, String> {
    let mut reader = open(harness, Until::Latest)?;
    let nowhere = Partition { topic: 0, number: i32::MAX };
    match reader.source.seek(nowhere, SeekTo::Start) {
        Err(SourceError::NotAssigned(named)) if named == nowhere => Ok(Done::Yes),
        other => Err(format!("seek of a partition that does not exist gave {other:?}")),
    }
}
