//! The `betavae` command: it reads arguments, calls the library, and shows what comes back. Results
//! go to stdout, everything else to stderr.

mod args;
mod commands;
mod output;
mod processes;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

// A step frees and asks for the same large blocks again. The system's allocator gives them back to
// the kernel in between, and page faults then cost a fifth of the time, or half of it.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (code, failed) = match run(arguments) {
        Ok(code) => (code, false),
        Err(error) => (fail(&error), true),
    };
    processes::end(failed);
    code
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // A wrong BETAVAE_SIMD is said at once, not silently ignored.
    betavae::cpu::instruction_set()?;
    if let Some(threads) = arguments.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let device = args::device(&arguments.device)?;
    match arguments.command {
        Command::Train(args) => return commands::train::train(args, &device),
        Command::Resume(args) => return commands::train::resume(args, &device),
        Command::Sweep(args) => {
            return commands::sweep::sweep(args.command, arguments.threads, &device);
        }
        Command::Encode(args) => commands::codes::encode(args, &device)?,
        Command::Decode(args) => commands::codes::decode(args, &device)?,
        Command::Reconstruct(args) => commands::pictures::reconstruct(args, &device)?,
        Command::Sample(args) => commands::pictures::sample(args, &device)?,
        Command::Advise(args) => commands::advise::advise(args, &device)?,
        Command::Figures(args) => commands::figures::figures(args, &device)?,
        Command::Report(args) => commands::report::report(args, &device)?,
        Command::Watch(args) => commands::watch::watch(args)?,
        Command::Explore(args) => commands::explore::explore(args, &device)?,
        Command::Import(args) => commands::export::import(args, &device)?,
        Command::Export(args) => commands::export::export(args, &device)?,
        Command::Traverse(args) => commands::pictures::traverse(args, &device)?,
        Command::Evaluate(args) => commands::evaluate::evaluate(args, &device)?,
        Command::Score(args) => commands::score::score(args)?,
        Command::Data(args) => commands::data::data(args)?,
        Command::Bottleneck(args) => commands::bottleneck::bottleneck(args, &device)?,
        Command::Bench(args) => commands::bench::bench(args, &device)?,
        Command::Recipes(args) => commands::recipes::recipes(args)?,
        Command::Completions(args) => commands::generate::completions(args)?,
        Command::Man(args) => commands::generate::man(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an error once, with its causes and its hint. A closed pipe is not an error.
fn fail(error: &anyhow::Error) -> ExitCode {
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let (red, cyan, plain) = output::colours();
    eprintln!("{red}error:{plain} {error:#}");
    let library = error.downcast_ref::<betavae::Error>();
    if let Some(hint) = library.and_then(betavae::Error::hint) {
        eprintln!("\n{cyan}hint:{plain} {hint}");
    }
    // A wrong configuration is a wrong command line, whose exit code is clap's.
    match library {
        Some(betavae::Error::Config { .. }) => ExitCode::from(2),
        // Whoever calls may try again.
        Some(betavae::Error::Busy { .. }) => ExitCode::from(signals::STOPPED),
        _ => ExitCode::from(1),
    }
}
