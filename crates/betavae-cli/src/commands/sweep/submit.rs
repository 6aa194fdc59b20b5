//! `sweep submit`: a job array of Slurm whose tasks do some runs each.
//!
//! What a submission consists of lies in `slurm/` in the sweep's folder: for each array a script, and a file with the names of
//! the runs of each task. Which arrays there are is in `slurm/arrays.jsonl`, so that a second submission leaves alone what the
//! first has still to do. Nothing else is kept: whether a run is done is read from its folder.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use betavae::Device;
use betavae::data;
use betavae::studies::{PlannedRun, RunState, Sweep};
use betavae::train::Trainer;
use betavae::words::{counted, duration, quoted, thousands};
use serde::{Deserialize, Serialize};

use super::{plan, slurm};
use crate::args::SweepSubmit;
use crate::output::{print, say};

/// Steps that are taken to measure how long one is, after one that warms up.
const MEASURED: u64 = 10;

/// Seconds of a run beside its steps: data, evaluation, scores.
const BESIDE: f64 = 30.0;

/// An array that was submitted.
#[derive(Deserialize, Serialize)]
struct Array {
    id: String,
    /// Names of the runs of each task.
    tasks: PathBuf,
}

pub(super) fn submit(
    args: SweepSubmit,
    threads: Option<usize>,
    device: &Device,
) -> anyhow::Result<ExitCode> {
    let sweep = plan(&args.place)?;
    let threads = threads.unwrap_or(1);
    let place = sweep.folder.join("slurm");
    fs::create_dir_all(&place)?;
    // Of two submissions at a time the second waits, and then finds what the first has submitted.
    let lock = File::create(place.join("submit.lock"))?;
    lock.lock().with_context(|| format!("cannot lock {}", place.display()))?;
    if args.retry_failed && !args.print {
        sweep.runs.iter().try_for_each(|run| sweep.forget_failure(run))?;
    }
    let submitted = match args.print {
        true => HashSet::new(),
        false => submitted_before(&place)?,
    };
    let is_wanted = |run: &&PlannedRun| match sweep.status_of(run).state {
        RunState::Done | RunState::Running { .. } => false,
        RunState::Failed { .. } => args.retry_failed,
        RunState::Waiting => !submitted.contains(&run.name),
    };
    let todo: Vec<&PlannedRun> = sweep.runs.iter().filter(is_wanted).collect();
    if todo.is_empty() {
        say(&format!(
            "nothing to submit: of {}, all are done, running, waiting in a job array, or failed \
             (`--retry-failed` submits those)",
            counted(sweep.runs.len(), "run")
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let limits = slurm::limits()?;
    let per_task = match args.runs_per_task {
        Some(count) => count,
        None => runs_per_task(&sweep, &todo, args.task_minutes, threads, device)?,
    };
    let tasks: Vec<&[&PlannedRun]> = todo.chunks(per_task).collect();
    let most = limits.submitted.map_or(usize::MAX, |most| most.saturating_sub(1).max(1));
    if tasks.len() > most {
        bail!(
            "{} tasks are more than the {most} that this user may submit: give each more runs with \
             --runs-per-task {}",
            thousands(tasks.len()),
            todo.len().div_ceil(most)
        );
    }
    say(&format!(
        "{} in {} of up to {}",
        counted(todo.len(), "run"),
        counted(tasks.len(), "task"),
        counted(per_task, "run")
    ));
    let mut ids = Vec::new();
    for tasks in tasks.chunks(limits.array) {
        let number = next_number(&place)?;
        let list = place.join(format!("tasks-{number}.txt"));
        let names = |runs: &&[&PlannedRun]| {
            runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = tasks.iter().map(names).collect();
        let text = script(&args, &sweep, threads, &list, tasks.len())?;
        if args.print {
            print(&text)?;
            say(&format!("tasks:\n{}", lines.join("\n")));
            continue;
        }
        fs::write(&list, lines.join("\n") + "\n")?;
        let path = place.join(format!("array-{number}.sh"));
        fs::write(&path, &text)?;
        fs::create_dir_all(place.join("logs"))?;
        let id = slurm::submit(&path, &args.options)?;
        let line = serde_json::to_string(&Array { id: id.clone(), tasks: list })?;
        let mut arrays =
            OpenOptions::new().create(true).append(true).open(place.join("arrays.jsonl"))?;
        writeln!(arrays, "{line}")?;
        say(&format!("array {id}: {}", path.display()));
        ids.push(id);
    }
    let text = collection(&args, &sweep)?;
    if args.print {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = place.join("collect.sh");
    fs::write(&path, &text)?;
    let mut options = args.options.clone();
    options.push(format!("--dependency=afterany:{}", ids.join(":")));
    let id = slurm::submit(&path, &options)?;
    say(&format!("collection {id}, after them: {}", path.display()));
    say(&format!("how far they are: betavae sweep status {}", sweep.on_command_line()));
    print(&ids.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Names of the runs that arrays of earlier submissions have still to do.
fn submitted_before(place: &Path) -> anyhow::Result<HashSet<String>> {
    let mut names = HashSet::new();
    let text = fs::read_to_string(place.join("arrays.jsonl")).unwrap_or_default();
    for line in text.lines() {
        let Ok(array) = serde_json::from_str::<Array>(line) else { continue };
        let left = slurm::tasks_left(&array.id)?;
        if left.is_empty() {
            continue;
        }
        let tasks = fs::read_to_string(&array.tasks)
            .with_context(|| format!("cannot read {}", array.tasks.display()))?;
        for (index, line) in tasks.lines().enumerate() {
            if left.contains(&index) {
                names.extend(line.split(' ').map(str::to_owned));
            }
        }
    }
    Ok(names)
}

/// The first number that no array has yet.
fn next_number(place: &Path) -> anyhow::Result<usize> {
    let free = |number: &usize| !place.join(format!("tasks-{number}.txt")).exists();
    (1..).find(free).context("numbers of arrays have run out")
}

/// As many runs as take the wanted time, by the slowest kind of run: from what runs of this sweep have taken, or from a few
/// steps that are taken here.
fn runs_per_task(
    sweep: &Sweep,
    todo: &[&PlannedRun],
    minutes: f64,
    threads: usize,
    device: &Device,
) -> anyhow::Result<usize> {
    let taken = sweep.collect().into_iter().filter_map(|run| run.record?.seconds);
    let slowest = taken.fold(0.0_f64, f64::max);
    let (seconds, how) = if slowest > 0.0 {
        (slowest + BESIDE, "as those before")
    } else {
        let Some(run) = todo.iter().max_by_key(|run| run.config.train().steps) else {
            return Ok(1);
        };
        let step = measured_step(run, device)?;
        say(&format!("a step takes {:.1} ms here on {}", 1e3 * step, counted(threads, "thread")));
        (step * run.config.train().steps as f64 + BESIDE, "by that measure")
    };
    let count = (60.0 * minutes / seconds).floor().max(1.0) as usize;
    say(&format!(
        "a run takes about {} {how}, so a task of {} has {}; --runs-per-task chooses otherwise",
        duration(seconds),
        duration(60.0 * minutes),
        counted(count.min(todo.len()), "run")
    ));
    Ok(count.min(todo.len()))
}

/// Seconds of a step of this run.
fn measured_step(run: &PlannedRun, device: &Device) -> anyhow::Result<f64> {
    let data = data::open(run.config.data(), run.config.seed())?;
    let mut trainer = Trainer::new(run.config.clone(), Arc::clone(&data), device)?;
    trainer.step()?;
    let start = Instant::now();
    for _ in 0..MEASURED {
        trainer.step()?;
    }
    Ok(start.elapsed().as_secs_f64() / MEASURED as f64)
}

/// Lines of `#SBATCH` that both scripts have.
fn options(args: &SweepSubmit, more: &[String]) -> String {
    let mut options = more.to_vec();
    options.extend(args.partition.iter().map(|partition| format!("--partition={partition}")));
    options.iter().map(|option| format!("#SBATCH {option}\n")).collect()
}

/// The script of an array.
fn script(
    args: &SweepSubmit,
    sweep: &Sweep,
    threads: usize,
    list: &Path,
    tasks: usize,
) -> anyhow::Result<String> {
    let name = &sweep.file.name;
    let logs = sweep.folder.join("slurm/logs/%A_%a.log");
    let throttle = args.throttle.map_or(String::new(), |most| format!("%{most}"));
    let options = options(
        args,
        &[
            format!("--job-name={name}"),
            format!("--array=0-{}{throttle}", tasks - 1),
            format!("--time={}", args.time),
            format!("--cpus-per-task={threads}"),
            format!("--mem={}", args.mem),
            format!("--output={}", logs.display()),
            "--open-mode=append".into(),
            "--requeue".into(),
            format!("--signal=B:USR1@{}", args.grace),
        ],
    );
    let (program, place, list) =
        (quoted(std::env::current_exe()?), sweep.on_command_line(), quoted(list));
    let restarts = args.restarts;
    Ok(format!(
        r#"#!/usr/bin/env bash
{options}
# Each task does the runs in one line of a list. Before its time is over it is sent USR1: then the runs are saved, and this task
# alone is put into the queue again. TERM comes when a task is cancelled or preempted: then they are saved, and Slurm knows what
# happens next.
set -u
runs=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {list})
only=()
for run in $runs; do only+=(--only "$run"); done
again=no
trap 'again=yes; kill -USR1 "$child" 2>/dev/null' USR1
trap 'again=no; kill -TERM "$child" 2>/dev/null' TERM
{program} --threads {threads} sweep run {place} --jobs 1 "${{only[@]}}" &
child=$!
# A signal ends `wait` before the program has ended.
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
wait "$child"
status=$?
# 75: something is left to do.
if [ "$status" = 75 ] && [ "$again" = yes ]; then
    if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {restarts} ]; then
        echo "put into the queue again {restarts} times already" >&2
        exit 1
    fi
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    exit 0
fi
exit "$status"
"#
    ))
}

/// The script that collects what the arrays have done.
fn collection(args: &SweepSubmit, sweep: &Sweep) -> anyhow::Result<String> {
    let name = &sweep.file.name;
    let log = sweep.folder.join("slurm/logs/collect-%j.log");
    let options = options(
        args,
        &[
            format!("--job-name={name}-collect"),
            format!("--time={}", args.time),
            format!("--mem={}", args.mem),
            format!("--output={}", log.display()),
        ],
    );
    let (program, place) = (quoted(std::env::current_exe()?), sweep.on_command_line());
    Ok(format!(
        r#"#!/usr/bin/env bash
{options}
# What is not done shows in the table.
{program} sweep collect {place}
{program} sweep report {place}
{program} sweep status {place}
"#
    ))
}
