//! The checks of a ledger. Each works on a group and sinks of its own and looks at them as a foreign reader.

use std::time::{Duration, Instant};

use super::{CommittedRecord, Failure, LedgerHarness};
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, StateRecord};
use crate::payload::Header;
use crate::position::{Partition, Position};

/// Whether a check could be done.
enum Done {
    Yes,
    /// The harness cannot bring about what it needs.
    NotPossible,
}

/// How long a commit may be in flight.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(60);

type Check = fn(&mut dyn LedgerHarness) -> Result<Done, String>;

/// The checks by name, in the order they run.
const CHECKS: [(&str, Check); 11] = [
    ("nothing_is_restored_where_nothing_was_committed", restores_nothing),
    ("outputs_state_and_positions_become_visible_together", atomic),
    ("records_keep_key_value_headers_and_the_order_of_their_key", faithful),
    ("commit_that_is_not_waited_for_becomes_as_durable", in_flight),
    ("aborted_transaction_leaves_nothing", abort_leaves_nothing),
    ("crashed_transaction_leaves_nothing", crash_leaves_nothing),
    ("restore_gives_the_newest_value_of_each_key_and_no_deleted_one", newest_of_each_key),
    ("partitions_keep_positions_and_state_apart", partitions_apart),
    ("newer_ledger_of_a_slot_fences_the_older_one", fencing),
    ("restore_refuses_state_that_disagrees_with_the_committed_offset", mismatch),
    ("unknown_commit_is_whole_or_absent_after_restore", unknown),
];

/// Checks that find nothing in any ledger, also in one that keeps nothing.
const OF_NOTHING: [&str; 3] = [
    "nothing_is_restored_where_nothing_was_committed",
    "aborted_transaction_leaves_nothing",
    "crashed_transaction_leaves_nothing",
];

/// Names of all checks of a ledger.
pub const LEDGER_CHECKS: [&str; CHECKS.len()] = {
    let mut names = [""; CHECKS.len()];
    let mut index = 0;
    while index < CHECKS.len() {
        names[index] = CHECKS[index].0;
        index += 1;
    }
    names
};

/// Puts a ledger through all checks that its harness makes possible, and names them.
///
/// # Errors
/// The first [`Failure`].
pub fn check_ledger(harness: &mut dyn LedgerHarness) -> Result<Vec<&'static str>, Failure> {
    let mut passed = Vec::new();
    for (check, run) in CHECKS {
        if !harness.keeps() && !OF_NOTHING.contains(&check) {
            continue;
        }
        harness.reset().map_err(|reason| Failure { check, reason: format!("reset: {reason}") })?;
        match run(harness) {
            Ok(Done::Yes) => passed.push(check),
            Ok(Done::NotPossible) => {}
            Err(reason) => return Err(Failure { check, reason }),
        }
    }
    Ok(passed)
}

fn open(harness: &mut dyn LedgerHarness, slot: &str) -> Result<Box<dyn Ledger>, String> {
    let mut ledger = harness.open(slot).map_err(|error| format!("open: {error}"))?;
    restore(ledger.as_mut(), &harness.partitions())?;
    Ok(ledger)
}

/// Restores, and puts the answers in the order of the question.
fn restore(ledger: &mut dyn Ledger, partitions: &[Partition]) -> Result<Vec<Restored>, String> {
    let mut restored = ledger.restore(partitions).map_err(|error| format!("restore: {error}"))?;
    let place = |one: &Restored| partitions.iter().position(|partition| *partition == one.partition);
    restored.sort_by_key(place);
    let answered: Vec<Partition> = restored.iter().map(|one| one.partition).collect();
    if answered != partitions {
        return Err(format!("restore of {partitions:?} answered for {answered:?}"));
    }
    Ok(restored)
}

fn begin_and_append(ledger: &mut dyn Ledger, records: &[(u16, &str, &str)]) -> Result<(), String> {
    ledger.begin().map_err(|error| format!("begin: {error}"))?;
    let mut batch = Records::default();
    for (sink, key, value) in records {
        batch.push(*sink, Some(key.as_bytes()), Some(value.as_bytes()), Vec::new());
    }
    ledger.append(&batch).map_err(|error| format!("append: {error}"))
}

fn commit(
    harness: &mut dyn LedgerHarness,
    ledger: &mut dyn Ledger,
    positions: &[Position],
    state: &[StateRecord],
) -> Result<CommitOutcome, String> {
    let group = harness.group_metadata();
    let commit = Commit { positions, state: &mut state.iter().cloned(), group: group.as_ref() };
    ledger.commit(commit).map_err(|error| format!("commit: {error}"))
}

fn committed(outcome: CommitOutcome) -> Result<(), String> {
    if outcome == CommitOutcome::Committed { Ok(()) } else { Err(format!("the commit ended as {outcome:?}")) }
}

fn put(partition: Partition, key: &str, value: Option<&str>) -> StateRecord {
    StateRecord { partition, key: key.as_bytes().to_vec(), value: value.map(|text| text.as_bytes().to_vec()) }
}

fn at(partition: Partition, next_offset: i64) -> Position {
    Position { partition, next_offset }
}

/// Values in a sink, sorted: the order between keys is nobody's promise.
fn values(harness: &mut dyn LedgerHarness, sink: u16) -> Result<Vec<String>, String> {
    let records = harness.committed(sink)?;
    let text = |record: CommittedRecord| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
    let mut values: Vec<String> = records.into_iter().map(text).collect();
    values.sort();
    Ok(values)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

fn expect_values(harness: &mut dyn LedgerHarness, sink: u16, expected: &[&str]) -> Result<(), String> {
    let expected: Vec<String> = expected.iter().map(|value| (*value).to_owned()).collect();
    expect(&format!("values in sink {sink}"), &values(harness, sink)?, &expected)
}

/// What was committed after a transaction that left nothing.
fn expect_kept(harness: &mut dyn LedgerHarness) -> Result<(), String> {
    let kept: &[&str] = if harness.keeps() { &["kept"] } else { &[] };
    expect_values(harness, 0, kept)
}

/// State as text.
fn state_of(restored: &Restored) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    restored.state.iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn restores_nothing(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let mut ledger = harness.open("w0")?;
    for one in restore(ledger.as_mut(), &harness.partitions())? {
        expect("next offset", &one.next_offset, &None)?;
        expect("state", &one.state, &Vec::new())?;
    }
    Ok(Done::Yes)
}

fn atomic(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let mut ledger = open(harness, "w0")?;
    begin_and_append(ledger.as_mut(), &[(0, "a", "1"), (1, "b", "2")])?;
    begin_nothing_visible(harness)?;
    let state = [put(partitions[0], "k", Some("v"))];
    committed(commit(harness, ledger.as_mut(), &[at(partitions[0], 5)], &state)?)?;
    expect_values(harness, 0, &["1"])?;
    expect_values(harness, 1, &["2"])?;
    expect("committed offset", &harness.committed_offset(partitions[0])?, &Some(5))?;
    drop(ledger);
    let mut next = harness.open("w0")?;
    let restored = restore(next.as_mut(), &partitions)?;
    expect("restored offset", &restored[0].next_offset, &Some(5))?;
    expect("restored state", &state_of(&restored[0]), &pairs(&[("k", "v")]))?;
    Ok(Done::Yes)
}

fn begin_nothing_visible(harness: &mut dyn LedgerHarness) -> Result<(), String> {
    expect_values(harness, 0, &[])?;
    expect_values(harness, 1, &[])?;
    let partition = harness.partitions()[0];
    expect("committed offset", &harness.committed_offset(partition)?, &None)
}

fn faithful(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partition = harness.partitions()[0];
    let mut ledger = open(harness, "w0")?;
    let values = [("h", Some(vec![b'1'])), ("h", Some(vec![0xff, 0x00])), ("empty", Some(vec![])), ("null", None)];
    let headers: Vec<Header> = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut expected = Vec::new();
    for round in 0..3i64 {
        ledger.begin().map_err(|error| format!("begin: {error}"))?;
        let mut records = Records::default();
        for number in 0..10 {
            let value = format!("{round}/{number}").into_bytes();
            records.push(0, Some(b"key"), Some(&value), headers.clone());
            expected.push(CommittedRecord { key: Some(b"key".to_vec()), value: Some(value), headers: headers.clone() });
        }
        records.push(0, Some(b"key"), None, Vec::new());
        expected.push(CommittedRecord { key: Some(b"key".to_vec()), value: None, headers: Vec::new() });
        ledger.append(&records).map_err(|error| format!("append: {error}"))?;
        committed(commit(harness, ledger.as_mut(), &[at(partition, round + 1)], &[])?)?;
    }
    expect("records of one key", &harness.committed(0)?, &expected)?;
    ledger.begin().map_err(|error| format!("begin: {error}"))?;
    let mut keyless = Records::default();
    keyless.push(1, None, Some(b"v"), Vec::new());
    ledger.append(&keyless).map_err(|error| format!("append: {error}"))?;
    committed(commit(harness, ledger.as_mut(), &[], &[])?)?;
    let record = CommittedRecord { key: None, value: Some(b"v".to_vec()), headers: Vec::new() };
    expect("record without key", &harness.committed(1)?, &vec![record])?;
    Ok(Done::Yes)
}

fn in_flight(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partition = harness.partitions()[0];
    let mut ledger = open(harness, "w0")?;
    let rounds = 5i64;
    for round in 0..rounds {
        let value = round.to_string();
        begin_and_append(ledger.as_mut(), &[(0, "a", &value)])?;
        let group = harness.group_metadata();
        let (positions, state) = ([at(partition, round + 1)], [put(partition, "k", Some(&value))]);
        let commit = Commit { positions: &positions, state: &mut state.iter().cloned(), group: group.as_ref() };
        let mut ended = ledger.commit_soon(commit).map_err(|error| format!("commit_soon: {error}"))?;
        if ended.is_none() && ledger.overlaps() {
            begin_and_append(ledger.as_mut(), &[(1, "b", &value)])?;
        }
        let deadline = Instant::now() + OUTCOME_PATIENCE;
        while ended.is_none() && Instant::now() < deadline {
            let patience = Duration::from_millis(round.unsigned_abs());
            ended = ledger.outcome(patience).map_err(|error| format!("outcome: {error}"))?;
        }
        committed(ended.ok_or("the commit did not end")?)?;
    }
    let texts: Vec<String> = (0..rounds).map(|round| round.to_string()).collect();
    expect_values(harness, 0, &texts.iter().map(String::as_str).collect::<Vec<_>>())?;
    drop(ledger);
    let mut next = harness.open("w0")?;
    let restored = restore(next.as_mut(), &[partition])?;
    expect("restored offset", &restored[0].next_offset, &Some(rounds))?;
    expect("restored state", &state_of(&restored[0]), &pairs(&[("k", &texts[texts.len() - 1])]))?;
    Ok(Done::Yes)
}

fn abort_leaves_nothing(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partition = harness.partitions()[0];
    let mut ledger = open(harness, "w0")?;
    begin_and_append(ledger.as_mut(), &[(0, "a", "lost")])?;
    ledger.abort().map_err(|error| format!("abort: {error}"))?;
    begin_nothing_visible(harness)?;
    begin_and_append(ledger.as_mut(), &[(0, "a", "kept")])?;
    committed(commit(harness, ledger.as_mut(), &[at(partition, 1)], &[])?)?;
    expect_kept(harness)?;
    Ok(Done::Yes)
}

fn crash_leaves_nothing(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partition = harness.partitions()[0];
    let mut crashed = open(harness, "w0")?;
    begin_and_append(crashed.as_mut(), &[(0, "a", "lost")])?;
    drop(crashed);
    let mut ledger = open(harness, "w0")?;
    begin_nothing_visible(harness)?;
    begin_and_append(ledger.as_mut(), &[(0, "a", "kept")])?;
    committed(commit(harness, ledger.as_mut(), &[at(partition, 1)], &[])?)?;
    expect_kept(harness)?;
    Ok(Done::Yes)
}

fn newest_of_each_key(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let partition = partitions[0];
    let mut ledger = open(harness, "w0")?;
    let rounds: [&[StateRecord]; 3] = [
        &[put(partition, "z", Some("1")), put(partition, "a", Some("1")), put(partition, "gone", Some("1"))],
        &[put(partition, "a", Some("2")), put(partition, "a", Some("3")), put(partition, "gone", None)],
        &[put(partition, "m", Some("4")), put(partition, "never", None)],
    ];
    for (round, state) in (1..).zip(rounds) {
        ledger.begin().map_err(|error| format!("begin: {error}"))?;
        committed(commit(harness, ledger.as_mut(), &[at(partition, round)], state)?)?;
    }
    let expected = pairs(&[("a", "3"), ("m", "4"), ("z", "1")]);
    expect("state of the same ledger", &state_of(&restore(ledger.as_mut(), &partitions)?[0]), &expected)?;
    drop(ledger);
    let mut next = harness.open("w0")?;
    let restored = restore(next.as_mut(), &partitions)?;
    expect("state of the next ledger", &state_of(&restored[0]), &expected)?;
    expect("next offset", &restored[0].next_offset, &Some(3))?;
    Ok(Done::Yes)
}

fn partitions_apart(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let mut ledger = open(harness, "w0")?;
    ledger.begin().map_err(|error| format!("begin: {error}"))?;
    let state = [put(partitions[0], "k", Some("first")), put(partitions[1], "k", Some("second"))];
    committed(commit(harness, ledger.as_mut(), &[at(partitions[0], 3), at(partitions[1], 8)], &state)?)?;
    ledger.begin().map_err(|error| format!("begin: {error}"))?;
    committed(commit(harness, ledger.as_mut(), &[at(partitions[1], 9)], &[])?)?;
    let alone = restore(ledger.as_mut(), &partitions[1..2])?;
    expect("restored offset", &alone[0].next_offset, &Some(9))?;
    expect("restored state", &state_of(&alone[0]), &pairs(&[("k", "second")]))?;
    let both = restore(ledger.as_mut(), &partitions[..2])?;
    expect("restored offset", &both[0].next_offset, &Some(3))?;
    expect("restored state", &state_of(&both[0]), &pairs(&[("k", "first")]))?;
    Ok(Done::Yes)
}

fn fencing(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partition = harness.partitions()[0];
    let mut old = open(harness, "w0")?;
    begin_and_append(old.as_mut(), &[(0, "a", "old")])?;
    let mut new = open(harness, "w0")?;
    begin_and_append(new.as_mut(), &[(0, "a", "new")])?;
    committed(commit(harness, new.as_mut(), &[at(partition, 1)], &[])?)?;
    let group = harness.group_metadata();
    let positions = [at(partition, 7)];
    match old.commit(Commit { positions: &positions, state: &mut std::iter::empty(), group: group.as_ref() }) {
        Ok(CommitOutcome::Fenced) | Err(LedgerError::Fenced { .. }) => {}
        other => return Err(format!("the older ledger's commit ended as {other:?}")),
    }
    if !matches!(old.begin(), Err(LedgerError::Fenced { .. })) {
        return Err("the older ledger could begin again".to_owned());
    }
    expect_values(harness, 0, &["new"])?;
    expect("committed offset", &harness.committed_offset(partition)?, &Some(1))?;
    begin_and_append(new.as_mut(), &[(0, "a", "newer")])?;
    committed(commit(harness, new.as_mut(), &[at(partition, 2)], &[])?)?;
    expect_values(harness, 0, &["new", "newer"])?;
    Ok(Done::Yes)
}

fn mismatch(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    let mut ledger = open(harness, "w0")?;
    ledger.begin().map_err(|error| format!("begin: {error}"))?;
    let state = [put(partitions[0], "k", Some("v"))];
    committed(commit(harness, ledger.as_mut(), &[at(partitions[0], 7)], &state)?)?;
    drop(ledger);
    if !harness.set_committed_offset(partitions[0], 6)? {
        return Ok(Done::NotPossible);
    }
    let mut next = harness.open("w0")?;
    match next.restore(&partitions) {
        Err(LedgerError::Mismatch { partition, state: Some(7), committed: Some(6), .. })
            if partition == partitions[0] => {}
        other => return Err(format!("restore gave {other:?}")),
    }
    Ok(Done::Yes)
}

fn unknown(harness: &mut dyn LedgerHarness) -> Result<Done, String> {
    let partitions = harness.partitions();
    for (round, applied) in (1i64..).zip([true, false]) {
        harness.reset()?;
        let Some(mut ledger) = harness.open_unknown("w0", applied)? else { return Ok(Done::NotPossible) };
        restore(ledger.as_mut(), &partitions)?;
        begin_and_append(ledger.as_mut(), &[(0, "a", "first")])?;
        let state = [put(partitions[0], "k", Some("v"))];
        let outcome = commit(harness, ledger.as_mut(), &[at(partitions[0], round)], &state)?;
        expect("outcome", &outcome, &CommitOutcome::Unknown)?;
        let restored = restore(ledger.as_mut(), &partitions)?;
        let whole = restored[0].next_offset.is_some();
        expect("restored offset", &restored[0].next_offset, &whole.then_some(round))?;
        expect("committed offset", &harness.committed_offset(partitions[0])?, &whole.then_some(round))?;
        expect("restored state", &state_of(&restored[0]), &if whole { pairs(&[("k", "v")]) } else { Vec::new() })?;
        expect_values(harness, 0, if whole { &["first"] } else { &[] })?;
        begin_and_append(ledger.as_mut(), &[(0, "a", "second")])?;
        committed(commit(harness, ledger.as_mut(), &[at(partitions[0], round + 1)], &[])?)?;
        expect_values(harness, 0, if whole { &["first", "second"] } else { &["second"] })?;
    }
    Ok(Done::Yes)
}
