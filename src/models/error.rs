//! Why a folder of models cannot be read or changed, with what the operator should do.

use std::io;
use std::path::PathBuf;

use super::card::{Incomparable, Kind, REGRESSION};
use super::store::Version;
use super::tensors::TensorsError;

/// Why a folder of models cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("`{}`: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// No such version.
    #[error("`{}` has no {version}", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The version.
        version: Version,
    },
    /// No version serves.
    #[error("no version of `{}` serves", .folder.display())]
    NoChampion {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is not there.
    #[error("no folder `{}`", .folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A card or a promotion that is not one.
    #[error("`{}` is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Weights that are none.
    #[error("`{}`: {reason}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: TensorsError,
    },
    /// Worse than what it was measured beside.
    #[error("{version} is not promoted: on the rows held out its {loss} is {own:.4}, that of {other} {theirs:.4}")]
    Worse {
        /// The challenger.
        version: Version,
        /// What was measured.
        loss: String,
        /// Its own.
        own: f64,
        /// What is better.
        other: String,
        /// That one's.
        theirs: f64,
    },
    /// Held out was too little to say how good it is.
    #[error("{version} is not promoted: too little was held out to say how good it is: {held_out}")]
    TooLittle {
        /// The version.
        version: Version,
        /// How much, and how much is needed.
        held_out: String,
    },
    /// A network of another kind.
    #[error("{version} of `{}` is a network of `{}`, not of `{}`", .folder.display(), .is.name(), .asked.name())]
    OtherKind {
        /// The folder.
        folder: PathBuf,
        /// The version.
        version: Version,
        /// What it is.
        is: Kind,
        /// What it should be.
        asked: Kind,
    },
    /// It was never measured beside what serves.
    #[error(
        "{version} is not promoted: it was not measured beside {champion}, which serves{}",
        .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
    )]
    NotCompared {
        /// The challenger.
        version: Version,
        /// What serves.
        champion: Version,
        /// Why not; none where another served when it was trained.
        why: Option<Incomparable>,
    },
    /// `--uncompared` of a version that was measured.
    #[error("{version} was measured beside {champion}, which serves: `--uncompared` is for versions that were not")]
    Compared {
        /// The challenger.
        version: Version,
        /// What serves.
        champion: Version,
    },
    /// It serves already.
    #[error("{version} serves already")]
    Serves {
        /// The version.
        version: Version,
    },
    /// Nothing to go back to.
    #[error("nothing served before {version}")]
    NothingBefore {
        /// The version.
        version: Version,
    },
}

impl StoreError {
    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "see that the path is right and may be read and written",
            Self::Missing { .. } => "`arterial models ls` lists the versions",
            Self::NoChampion { .. } => "`arterial train`, then `arterial models promote`",
            Self::NoFolder { .. } => {
                "see that the path is right and the folder mounted, or make a version: `arterial train`, then `arterial models \
                 promote`"
            }
            Self::Damaged { .. } | Self::Weights { .. } => "restore the file, or train again",
            Self::OtherKind { .. } => "name another folder: each holds the versions of one network",
            Self::Worse { other, .. } if other == REGRESSION => {
                "use the regression (`ftrl`), train on more rows or with other settings; `arterial models promote --uncompared \
                 --reason TEXT` lets it serve all the same, and records that"
            }
            Self::Worse { .. } => "train on more or newer rows; the version that serves stays",
            Self::TooLittle { .. } => {
                "train on a longer history, or hold out more (`--hold-out`); `arterial models promote --uncompared --reason TEXT` \
                 lets it serve all the same, and records that"
            }
            Self::NotCompared { why: None, .. } => {
                "train again: every version is measured beside the one that serves then"
            }
            Self::NotCompared { why: Some(Incomparable::Different { .. }), .. } => {
                "`arterial models promote --uncompared --reason TEXT` lets it serve all the same, and records that"
            }
            Self::NotCompared { why: Some(Incomparable::TooFewRows { .. }), .. } => {
                "train on a history that goes on after that, or hold out more; `arterial models promote --uncompared \
                 --reason TEXT` lets it serve all the same, and records that"
            }
            Self::Compared { .. } => "promote it without `--uncompared`",
            Self::Serves { .. } | Self::NothingBefore { .. } => "`arterial models ls` says which version serves",
        }
    }
}
