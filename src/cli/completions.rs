//! `arterial completions`: what a shell needs to complete our command lines.

use std::io::Write;

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;

/// Print the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial completions bash > ~/.local/share/bash-completion/completions/arterial\n  \
    arterial completions zsh > ~/.zfunc/_arterial        # a folder of your fpath\n  \
    arterial completions fish > ~/.config/fish/completions/arterial.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints them.
///
/// # Errors
/// Standard output that takes nothing.
pub fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "arterial", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}
