//! The command line: one file per verb. Data goes to stdout, logs to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

/// `println!`, but a reader that has gone away (`| head`) is no error: it wants no more.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// To stderr, whether or not anybody reads it.
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod backfill;
mod bar;
mod changes;
mod completions;
#[cfg(feature = "kafka")]
mod connection;
#[cfg(feature = "kafka")]
mod dlq;
#[cfg(feature = "kafka")]
mod doctor;
mod eval;
mod explain;
mod graph;
mod init;
mod load;
#[cfg(feature = "neural")]
mod models;
mod progress;
#[cfg(feature = "kafka")]
mod replay;
mod report;
mod run;
mod schema;
mod simulate;
mod test;
#[cfg(feature = "neural")]
mod train;
mod unusable;
mod usage;
mod validate;

use clap::{Parser, Subcommand};

pub use bar::LogWriter;
pub use report::summary_json;
pub use unusable::UnusableError;
pub use usage::UsageError;

/// City sensor streams in, congestion and safety alerts out.
#[derive(Debug, Parser)]
#[command(name = "arterial", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::InitArgs),
    Validate(validate::ValidateArgs),
    Explain(explain::ExplainArgs),
    Graph(graph::GraphArgs),
    Schema(schema::SchemaArgs),
    Simulate(simulate::SimulateArgs),
    Run(run::RunArgs),
    Backfill(backfill::BackfillArgs),
    Eval(eval::EvalArgs),
    Test(test::TestArgs),
    #[cfg(feature = "kafka")]
    Replay(replay::ReplayArgs),
    #[cfg(feature = "kafka")]
    Dlq(dlq::DlqArgs),
    #[cfg(feature = "kafka")]
    Doctor(doctor::DoctorArgs),
    #[cfg(feature = "neural")]
    Train(train::TrainArgs),
    #[cfg(feature = "neural")]
    Models(models::ModelsArgs),
    Completions(completions::CompletionsArgs),
}

/// Carries out the verb.
///
/// # Errors
/// Whatever it could not do. [`crate::spec::SpecErrors`] inside means a bad pipeline file: exit code 78; [`UsageError`]
/// means arguments that nothing can be done with: exit code 2.
pub fn execute(cli: &Cli) -> anyhow::Result<()> {
    match &cli.verb {
        Verb::Init(args) => init::init(args),
        Verb::Validate(args) => validate::validate(args),
        Verb::Explain(args) => explain::explain(args),
        Verb::Graph(args) => graph::graph(args),
        Verb::Schema(args) => schema::schema(args),
        Verb::Simulate(args) => simulate::simulate(args),
        Verb::Run(args) => run::run(args),
        Verb::Backfill(args) => backfill::backfill(args),
        Verb::Eval(args) => eval::eval(args),
        Verb::Test(args) => test::test(args),
        #[cfg(feature = "kafka")]
        Verb::Replay(args) => replay::replay(args),
        #[cfg(feature = "kafka")]
        Verb::Dlq(args) => dlq::dlq(args),
        #[cfg(feature = "kafka")]
        Verb::Doctor(args) => doctor::doctor(args),
        #[cfg(feature = "neural")]
        Verb::Train(args) => train::train(args),
        #[cfg(feature = "neural")]
        Verb::Models(args) => models::models(args),
        Verb::Completions(args) => completions::completions(args),
    }
}
