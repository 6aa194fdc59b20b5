//! The `betavae` command: it reads arguments, calls the library, and shows what comes back. Results
//! go to stdout, everything else to stderr.

mod args;
mod commands;
mod compute;
mod output;
mod processes;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use compute::Compute;

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
    let compute = Compute::open(&arguments.device)?;
    match arguments.command {
        Command::Train(args) => return commands::train::train(args, &compute),
        Command::Resume(args) => return commands::train::resume(args, &compute),
        Command::Sweep(args) => {
            return commands::sweep::sweep(args.command, arguments.threads, &compute);
        }
        Command::Encode(args) => commands::codes::encode(args, &compute)?,
        Command::Decode(args) => commands::codes::decode(args, &compute)?,
        Command::Reconstruct(args) => commands::pictures::reconstruct(args, compute.cpu_alone()?)?,
        Command::Sample(args) => commands::pictures::sample(args, compute.cpu_alone()?)?,
        Command::Advise(args) => commands::advise::advise(args, compute.cpu_alone()?)?,
        Command::Figures(args) => commands::figures::figures(args, compute.cpu_alone()?)?,
        Command::Report(args) => commands::report::report(args, compute.cpu_alone()?)?,
        Command::Watch(args) => commands::watch::watch(args)?,
        Command::Explore(args) => commands::explore::explore(args, compute.cpu_alone()?)?,
        Command::Import(args) => commands::export::import(args, compute.cpu_alone()?)?,
        Command::Export(args) => commands::export::export(args, compute.cpu_alone()?)?,
        Command::Traverse(args) => commands::pictures::traverse(args, compute.cpu_alone()?)?,
        Command::Evaluate(args) => commands::evaluate::evaluate(args, &compute)?,
        Command::Score(args) => commands::score::score(args)?,
        Command::Data(args) => commands::data::data(args)?,
        Command::Bottleneck(args) => commands::bottleneck::bottleneck(args, compute.cpu_alone()?)?,
        Command::Bench(args) => commands::bench::bench(args, &compute)?,
        Command::Describe(args) => commands::describe::describe(args, compute.cpu_alone()?)?,
        Command::Devices(args) => commands::devices::devices(args)?,
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
