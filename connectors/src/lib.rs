//! Everything that touches the outside world: bytes, offsets and Arrow arrays; no queries, no models.
//!
//! In the order the data flows:
//!
//! | module | what |
//! |---|---|
//! | [`source`] | what every source offers: partitions come and go, batches of rows in between |
//! | [`payload`] | the rows of a batch, bytes or typed |
//! | [`csv`] | delimited text, a record's cells |
//! | [`position`] | partitions and offsets |
//! | [`ledger`] | where outputs, positions and state become durable together |
//! | [`access`] | why the far side refuses us |
//! | [`memory`] | a broker inside the process: tests, embedding, faults on demand |
//! | `kafka` | a group member as source, transactions as ledger (feature `kafka`) |
//! | [`folder`] | a ledger of files: a directory per epoch, published by renaming it |
//! | [`mod@file`] | files that stand for a topic |
//! | [`discard`] | a ledger that keeps nothing: evaluations, demos |
//! | [`simulate`] | a corridor of loop detectors made up from a seed |
//! | [`conformance`] | what every source and ledger has to keep, as checks that their authors run |

pub mod access;
pub mod conformance;
pub mod csv;
pub mod discard;
pub mod file;
pub mod folder;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod ledger;
pub mod memory;
pub mod payload;
pub mod position;
pub mod simulate;
pub mod source;
