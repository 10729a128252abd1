//! Everything that touches the outside world: bytes, offsets and Arrow arrays; no queries, no models.
//!
//! In the order the data flows:
//!
//! | module | what |
//! |---|---|
//! | [`source`] | what every source offers: partitions come and go, batches of rows in between |
//! | [`payload`] | the rows of a batch, bytes or typed |
//! | [`position`] | partitions and offsets |
//! | [`ledger`] | where outputs, positions and state become durable together |
//! | [`memory`] | a broker inside the process: tests, embedding, faults on demand |
//! | [`simulate`] | a corridor of loop detectors made up from a seed |

pub mod ledger;
pub mod memory;
pub mod payload;
pub mod position;
pub mod simulate;
pub mod source;
