//! Runs of a sweep in this process, one after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use betavae::Device;
use betavae::objective::Terms;
use betavae::run::Observer;
use betavae::studies::{Executed, Executor, PlannedRun, Sweep};
use betavae::words;

use crate::output::say;
use crate::progress::Progress;
use crate::signals::stop_is_wanted;

/// Does the runs. What another process is at work on is tried once more at the end.
pub(super) fn run(sweep: &Sweep, todo: &[&PlannedRun], device: &Device) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut executor = Executor::new(sweep, device);
    let mut later = Vec::new();
    let tries = [todo.to_vec(), Vec::new()];
    for (number, runs) in tries.into_iter().enumerate() {
        let runs = if number == 0 { runs } else { std::mem::take(&mut later) };
        for (position, run) in (1..).zip(&runs) {
            if stop_is_wanted() || is_over(sweep, start) {
                return Ok(());
            }
            say(&format!("{position}/{}  {}", runs.len(), run.name));
            let mut observer = Quiet::new(run);
            let began = Instant::now();
            let executed = executor.execute(run, &mut observer);
            observer.0.finish();
            match executed? {
                Executed::Done => {
                    say(&format!("done in {}", words::duration(began.elapsed().as_secs_f64())));
                }
                Executed::Stopped => return Ok(()),
                Executed::Busy { owner } => {
                    say(&format!("{owner} is at work on it"));
                    later.push(*run);
                }
                Executed::Failed { message } => say(&format!("failed: {message}")),
            }
        }
    }
    Ok(())
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

/// The progress of a run without word of its checkpoints.
struct Quiet(Progress);

impl Quiet {
    fn new(run: &PlannedRun) -> Self {
        Self(Progress::new(0, run.config.train().steps))
    }
}

impl Observer for Quiet {
    fn stepped(&mut self, step: u64, terms: &Terms) {
        self.0.stepped(step, terms);
    }
    fn logged(&mut self, step: u64, mean: &Terms) {
        self.0.logged(step, mean);
    }
    fn warned(&mut self, warning: &str) {
        self.0.warned(warning);
    }
    fn saved(&mut self, _checkpoint: &Path) {}
    fn scoring(&mut self, score: &str, share: f64) {
        self.0.scoring(score, share);
    }
    fn should_stop(&mut self) -> bool {
        stop_is_wanted()
    }
}
