//! `sweep`.

mod here;
mod parent;
mod report;
mod slurm;
mod status;
mod submit;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use betavae::config::Config;
use betavae::data;
use betavae::runs::write_columns;
use betavae::studies::{self, RunState, RunStatus, Sweep, SweepFile, SweepProgress};
use betavae::words::counted;
use serde::Serialize;

use crate::args::{SweepCollect, SweepCommand, SweepList, SweepPlace, SweepRun};
use crate::compute::Compute;
use crate::output::{print, print_json, say};
use crate::signals;

pub fn sweep(
    command: SweepCommand,
    threads: Option<usize>,
    compute: &Compute,
) -> anyhow::Result<ExitCode> {
    match command {
        SweepCommand::List(args) => list(args, threads),
        SweepCommand::Run(args) => run(args, threads, compute),
        SweepCommand::Submit(args) => submit::submit(args, threads, compute.cpu_alone()?),
        SweepCommand::Status(args) => status::status(args),
        SweepCommand::Collect(args) => collect(args),
        SweepCommand::Report(args) => report::report(args, compute.cpu_alone()?),
    }
}

/// Reads a sweep and plans its runs.
fn plan(place: &SweepPlace) -> anyhow::Result<Sweep> {
    let file = SweepFile::read(&place.file)?;
    let folder = place.out.clone().unwrap_or_else(|| Path::new("runs").join(&file.name));
    let folder = std::path::absolute(&folder)?;
    let mut shape = |config: &_, seed| Ok(data::open(config, seed)?.shape());
    let sweep = Sweep::plan(file, folder, &mut shape)?;
    for note in &sweep.notes {
        say(&format!("note: {note}"));
    }
    Ok(sweep)
}

fn list(args: SweepList, threads: Option<usize>) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Listed<'a> {
        name: &'a str,
        folder: PathBuf,
        command: String,
        config: toml::Table,
    }
    let sweep = plan(&args.place)?;
    let place = sweep.on_command_line();
    let threads = threads.map_or(String::new(), |threads| format!(" --threads {threads}"));
    let command = |name: &str| format!("betavae{threads} sweep run {place} --only {name}");
    if args.json {
        let listed = sweep.runs.iter().map(|run| Listed {
            name: &run.name,
            folder: sweep.folder_of(run),
            command: command(&run.name),
            config: Config::to_table(&run.config),
        });
        print_json(&listed.collect::<Vec<_>>())?;
    } else {
        say(&format!("{} in {}", counted(sweep.runs.len(), "run"), sweep.folder.display()));
        let lines: Vec<String> = sweep.runs.iter().map(|run| command(&run.name)).collect();
        print(&lines.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run(args: SweepRun, threads: Option<usize>, compute: &Compute) -> anyhow::Result<ExitCode> {
    signals::catch()?;
    let sweep = plan(&args.place)?;
    if args.worker {
        return worker::work(&sweep, compute);
    }
    let mut wanted = Vec::new();
    for name in &args.only {
        wanted.push(sweep.find(name)?);
    }
    if args.only.is_empty() {
        wanted.extend(&sweep.runs);
    }
    if args.retry_failed {
        wanted.iter().try_for_each(|run| sweep.forget_failure(run))?;
    }
    let todo: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|run| {
            let RunStatus { state, .. } = sweep.status_of(run);
            !matches!(state, RunState::Done | RunState::Failed { .. })
        })
        .collect();
    let done = wanted.len() - todo.len();
    if done > 0 {
        say(&format!("{} of {} done or failed before", done, counted(wanted.len(), "run")));
    }
    todo.iter().try_for_each(|run| compute.check(&run.config))?;
    let jobs = args.jobs.unwrap_or_else(|| {
        // A GPU is kept busy by one run.
        if compute.gpu.is_some() {
            return 1;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / threads.unwrap_or(1)).max(1)
    });
    if jobs.min(todo.len()) <= 1 {
        here::run(&sweep, &todo, compute)?;
    } else {
        let place = [args.place.file.clone(), sweep.folder.clone()];
        let (threads, by_memory) = (threads.unwrap_or(1), args.jobs.is_none());
        parent::Parent::new(&sweep, place, threads, &compute.name, by_memory).run(&todo, jobs)?;
    }
    Ok(conclude(&sweep, &wanted.iter().map(|run| sweep.status_of(run)).collect::<Vec<_>>()))
}

/// How many runs of each kind there are, in words, and the exit status that says so.
fn conclude(sweep: &Sweep, all: &[RunStatus]) -> ExitCode {
    let counts = SweepProgress::of(all.iter().map(|run| &run.state));
    let SweepProgress { runs, done, running, waiting, failed } = counts;
    let mut parts = vec![format!("{done} of {} done", counted(runs, "run"))];
    parts.extend(counts.others_in_words());
    say(&format!("{}: {}", sweep.file.name, parts.join(", ")));
    if failed > 0 {
        say("`--retry-failed` of `betavae sweep run` tries the failed ones again");
    }
    match (running + waiting, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => ExitCode::from(signals::STOPPED),
    }
}

fn collect(args: SweepCollect) -> anyhow::Result<ExitCode> {
    let sweep = plan(&args.place)?;
    let runs = sweep.collect();
    let columns = studies::columns(&runs);
    let outputs = match args.output.is_empty() {
        true => ["runs.csv", "runs.parquet"].map(|name| sweep.folder.join(name)).to_vec(),
        false => args.output,
    };
    std::fs::create_dir_all(&sweep.folder)?;
    for path in &outputs {
        write_columns(path, &columns)?;
        print(&path.display().to_string())?;
    }
    let all: Vec<RunStatus> = runs.into_iter().map(|run| run.status).collect();
    conclude(&sweep, &all);
    Ok(ExitCode::SUCCESS)
}
