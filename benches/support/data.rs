//! Where the real data sets are: nobody may publish them again, so they are not part of the repository.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// A file of the data sets: under `ARTERIAL_DATA`, or in the folder `shared/data` beside the checkout.
pub(crate) fn data_file(name: &str) -> Result<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("ARTERIAL_DATA").map_or_else(beside, PathBuf::from).join(name);
    ensure!(path.exists(), "`{}` is missing: set ARTERIAL_DATA to the folder of the data sets", path.display());
    Ok(path)
}
