//! Runs of a sweep in this process, one after the other.

use std::time::{Duration, Instant};

use betavae::studies::{Executed, Executor, PlannedRun, Sweep};
use betavae::words;

use crate::compute::Compute;
use crate::output::say;
use crate::progress::Progress;
use crate::signals::stop_is_wanted;

/// Does the runs. What another process is at work on is tried once more at the end.
pub(super) fn run(sweep: &Sweep, todo: &[&PlannedRun], compute: &Compute) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut executor = compute.executor(sweep);
    let busy = in_turn(sweep, todo, &mut executor, start)?;
    in_turn(sweep, &busy, &mut executor, start)?;
    Ok(())
}

/// Does the runs until it is told to stop, and returns those that another process is at work on.
fn in_turn<'a>(
    sweep: &Sweep,
    runs: &[&'a PlannedRun],
    executor: &mut Executor<'_>,
    start: Instant,
) -> anyhow::Result<Vec<&'a PlannedRun>> {
    let mut busy = Vec::new();
    for (position, run) in (1..).zip(runs) {
        if stop_is_wanted() || is_over(sweep, start) {
            return Ok(Vec::new());
        }
        say(&format!("{position}/{}  {}", runs.len(), run.name));
        let mut progress = Progress::new(0, run.config.train().steps).without_checkpoints();
        let began = Instant::now();
        let executed = executor.execute(run, &mut progress);
        progress.finish();
        match executed? {
            Executed::Done => {
                say(&format!("done in {}", words::duration(began.elapsed().as_secs_f64())));
            }
            Executed::Stopped => return Ok(Vec::new()),
            Executed::Busy { owner } => {
                say(&format!("{owner} is at work on it"));
                busy.push(*run);
            }
            Executed::Failed { message } => say(&format!("failed: {message}")),
        }
    }
    Ok(busy)
}

/// Whether the sweep has taken as long as it may.
pub(super) fn is_over(sweep: &Sweep, start: Instant) -> bool {
    let Some(hours) = sweep.file.budget.hours else { return false };
    let over = start.elapsed() >= Duration::from_secs_f64(hours * 3600.0);
    if over {
        say(&format!("budget.hours = {hours} are over: no more runs are begun"));
    }
    over
}
