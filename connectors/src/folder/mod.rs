//! Records, positions and state -> a directory per epoch, published by renaming it: a ledger without a broker.
//!
//! ```text
//! out/
//!   lock                         held by the process at work; the system lets go of it when the process ends
//!   epoch-0000000001/            complete, since it has this name
//!     alerts.ndjson              a line per record of the sink, in the order they were written; or alerts.parquet
//!     manifest.json              pipeline, partitions, positions, records per sink, digest of the state
//!   epoch-0000000002/
//!     ...
//!     state.bin                  only the newest two epochs have their state
//!   finished                     the epoch at which a run had read everything
//!   0-0.unfinished/              the epoch that a worker is writing; the next start removes it
//! ```
//!
//! Outputs of all epochs together are the output: `cat out/epoch-*/alerts.ndjson`. Files, their directory and the folder
//! are synced before a commit counts. The workers of one process add epochs in turn, each of its own partitions. Deliberately absent:
//! several processes, deleting of outputs.
//!
//! | module | what |
//! |---|---|
//! | [`lock`] | [`Folder`]: one process at a time, and in it one ledger of each slot |
//! | `epochs` | names of epochs, which are there, which state is not needed any more |
//! | `sink` | records of a sink -> its file: lines of JSON, or Parquet |
//! | `lines` | a record -> a line of JSON that loses no byte |
//! | `state` | the state before and its changes -> the state after, in one pass over files |
//! | [`manifest`] | what an epoch says about itself |
//! | [`ledger`] | [`FolderLedger`]: the transaction |
//! | [`error`] | what the disk or the folder refuses |

mod disk;
mod epochs;
pub mod error;
pub mod ledger;
mod lines;
pub mod lock;
pub mod manifest;
mod sink;
mod state;

pub use error::FolderError;
pub use ledger::{FolderLedger, FolderLedgerConfig};
pub use lock::Folder;
pub use manifest::Manifest;
pub use sink::{Columns, FolderSink};
