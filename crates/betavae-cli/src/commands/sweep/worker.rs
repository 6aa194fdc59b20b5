//! A process that takes names of runs from its parent and tells it how they go, a line of JSON for each event.

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use betavae::cpu;
use betavae::objective::Terms;
use betavae::run::Observer;
use betavae::studies::{Executed, Sweep};
use serde::{Deserialize, Serialize};

use crate::compute::Compute;
use crate::output::print;
use crate::signals;

/// Time between events of one run.
const PAUSE: Duration = Duration::from_millis(250);

/// What a worker tells.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// It is at this step, and the process has this much memory in bytes, where that is known.
    Step { step: u64, memory: Option<u64> },
    /// A score is being computed.
    Scoring { score: String },
    /// Something that the user should know.
    Warning { text: String },
    /// Trained and scored.
    Done,
    /// Told to stop.
    Stopped,
    /// Another process is at work on it.
    Busy { owner: String },
    /// It cannot be done.
    Failed { message: String },
}

/// Works until there are no more names, or the parent has gone.
pub(super) fn work(sweep: &Sweep, compute: &Compute) -> anyhow::Result<ExitCode> {
    let names = names();
    let mut executor = compute.executor(sweep);
    for name in names {
        let run = sweep.find(&name)?;
        let mut teller = Teller { last: None };
        let event = match executor.execute(run, &mut teller)? {
            Executed::Done => Event::Done,
            Executed::Stopped => Event::Stopped,
            Executed::Busy { owner } => Event::Busy { owner },
            Executed::Failed { message } => Event::Failed { message },
        };
        tell(&event)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of stdin. When it ends, whoever wanted the work has gone: what is being done is saved and left.
fn names() -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        signals::ask_to_stop();
    });
    receiver
}

fn tell(event: &Event) -> anyhow::Result<()> {
    print(&serde_json::to_string(event)?)
}

/// Tells of a run in training.
struct Teller {
    last: Option<Instant>,
}

impl Teller {
    fn tell(&mut self, event: &Event) {
        self.last = Some(Instant::now());
        // Without a parent nobody listens, and stdin ends too.
        let _ = tell(event);
    }
}

impl Observer for Teller {
    fn stepped(&mut self, step: u64, _: &Terms) {
        if self.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            self.tell(&Event::Step { step, memory: cpu::peak_memory() });
        }
    }
    fn warned(&mut self, warning: &str) {
        self.tell(&Event::Warning { text: warning.to_owned() });
    }
    fn scoring(&mut self, score: &str, _: f64) {
        if self.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            self.tell(&Event::Scoring { score: score.to_owned() });
        }
    }
    fn should_stop(&mut self) -> bool {
        signals::stop_is_wanted()
    }
}
