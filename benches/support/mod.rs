//! What benchmarks share: a broker of their own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A real broker that ends with this process.
pub(crate) struct Broker {
    pub(crate) address: String,
    folder: PathBuf,
}

impl Broker {
    /// Starts one from its jars.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("arterial-{name}-{}", std::process::id()));
        let started = script()
            .arg("start")
            .arg(&folder)
            .env("ARTERIAL_KAFKA_PARENT", std::process::id().to_string())
            .output()
            .context("cannot run scripts/kafka.sh")?;
        ensure!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr).trim());
        Ok(Self { address: String::from_utf8_lossy(&started.stdout).trim().to_owned(), folder })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Where this fails the script's watch over this process stops the broker.
        let _ = script().arg("stop").arg(&self.folder).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The project's script for brokers.
pub(crate) fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
}
