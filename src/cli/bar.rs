//! Rows read of a bounded input -> a bar on a terminal; nothing where stderr is none. Log lines go above the bar, never
//! into it: whoever writes the log asks [`LogWriter`].

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use arterial_connectors::file::rows_total;
use arterial_connectors::folder::Manifest;
use arterial_connectors::ledger::LedgerError;
use arterial_connectors::simulate::Faults;
use indicatif::{ProgressBar, ProgressStyle};

use crate::runtime::{PipelineError, simulate_config};
use crate::spec::PipelinePlan;

/// The bar on the terminal, for the log: a process has one terminal.
static ON_TERMINAL: Mutex<Option<ProgressBar>> = Mutex::new(None);

thread_local! {
    /// Whether this thread has taken the bar away: what it writes then goes straight to the terminal.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// How many rows there are to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Rows altogether; how many files of text have is not known before they are read.
    total: Option<u64>,
    /// Whether there may be fewer.
    at_most: bool,
    /// Rows that an earlier run has read.
    pub(super) done: u64,
}

impl Extent {
    /// Of the files that a path or a pattern names; `folder`: where an earlier run over them has left off.
    pub(super) fn of_files(files: &Path, folder: Option<&Path>) -> Result<Self> {
        let newest = folder.map(Manifest::newest).transpose().map_err(LedgerError::from)?.flatten();
        let done = newest.map_or(0, |manifest| manifest.rows_read());
        let total = rows_total(files).map_err(PipelineError::from)?;
        Ok(Self { total, at_most: false, done })
    }

    /// Of the plan's source; `None` where it has no end of its own.
    pub(super) fn of(plan: &PipelinePlan) -> Result<Option<Self>> {
        if let Some(file) = &plan.source.file {
            let folder = plan.sinks.folder().map(|folder| plan.folder.join(folder));
            return Self::of_files(&plan.folder.join(&file.path), folder.as_deref()).map(Some);
        }
        let Some(simulate) = &plan.source.simulate else { return Ok(None) };
        let config = simulate_config(simulate);
        // Detectors fall silent now and then.
        let detectors = u64::from(config.detectors).saturating_mul(config.corridors.into());
        // How many readings come twice is not known before.
        let total = config.ticks().filter(|_| config.faults == Faults::Basic);
        Ok(Some(Self { total: total.map(|ticks| ticks.saturating_mul(detectors)), at_most: true, done: 0 }))
    }

    /// ` of N`, where that is known.
    pub(super) fn of_total(self) -> String {
        let most = if self.at_most { "at most " } else { "" };
        self.total.map(|total| format!(" of {most}{total}")).unwrap_or_default()
    }
}

/// A bar; clones are the same one.
#[derive(Clone)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(extent: Extent) -> Self {
        let most = if extent.at_most { "at most " } else { "" };
        let (bar, template) = match extent.total {
            Some(total) => {
                let template = format!("{{bar:40}} {{human_pos}}/{most}{{human_len}} rows, {{per_sec}}, {{eta}} left");
                (ProgressBar::new(total), template)
            }
            None => (ProgressBar::no_length(), "{spinner} {human_pos} rows, {per_sec}, {elapsed}".to_owned()),
        };
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style).with_position(extent.done);
        bar.reset_eta();
        if !bar.is_hidden() {
            *ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        }
        Self(bar)
    }

    /// Whether anybody sees it.
    pub(super) fn shown(&self) -> bool {
        !self.0.is_hidden()
    }

    pub(super) fn add(&self, rows: u64) {
        self.0.inc(rows);
    }

    /// Takes it away while something else is written.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(|| {
            ASIDE.set(true);
            write();
            ASIDE.set(false);
        });
    }

    /// Takes it away for good.
    pub(super) fn clear(&self) {
        ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.0.finish_and_clear();
    }
}

/// Stderr for the log: a line of it stands above the bar.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = ON_TERMINAL.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar.filter(|_| !ASIDE.get()) {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
