//! `sweep status`.

use std::process::ExitCode;

use betavae::studies::{RunState, RunStatus};
use betavae::words;

use super::{conclude, plan};
use crate::args::SweepStatus;
use crate::output::{print, print_json};

pub(super) fn status(args: SweepStatus) -> anyhow::Result<ExitCode> {
    let sweep = plan(&args.place)?;
    let all = sweep.status();
    if args.json {
        print_json(&all)?;
    } else {
        let worth = |run: &&RunStatus| {
            args.all || matches!(run.state, RunState::Running { .. } | RunState::Failed { .. })
        };
        let lines: Vec<String> = all.iter().filter(worth).map(line).collect();
        if !lines.is_empty() {
            print(&lines.join("\n"))?;
        }
    }
    Ok(conclude(&sweep, &all))
}

fn line(run: &RunStatus) -> String {
    let RunStatus { name, state, step, steps, restarts } = run;
    let restarts = match restarts {
        0 => String::new(),
        1 => ", begun again once".into(),
        count => format!(", begun again {count} times"),
    };
    let what = match state {
        RunState::Done => format!("done at step {steps}"),
        RunState::Running { owner, seconds } => {
            format!("running at step {step} of {steps}: {owner}, for {}", words::duration(*seconds))
        }
        RunState::Waiting if *step > 0 => format!("waiting at step {step} of {steps}"),
        RunState::Waiting => "waiting".into(),
        RunState::Failed { message } => format!("failed at step {step} of {steps}: {message}"),
    };
    format!("{name}  {what}{restarts}")
}
