//! Several worker processes, and what is seen of them.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use betavae::cpu;
use betavae::studies::{PlannedRun, Sweep};
use betavae::words;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::here::is_over;
use super::worker::Event;
use crate::output::say;
use crate::signals::stop_is_wanted;

/// How often the process that does a run may die before the run counts as failed.
const DEATHS: u32 = 3;

/// How often the parent looks up from listening.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Hands runs to worker processes.
pub(super) struct Parent<'a> {
    sweep: &'a Sweep,
    /// The file and the folder of the sweep.
    place: [PathBuf; 2],
    threads: usize,
    /// What takes their steps.
    device: String,
    /// Whether there may be fewer workers than wanted where memory is short.
    by_memory: bool,
    sender: Sender<(usize, Heard)>,
    receiver: Receiver<(usize, Heard)>,
    workers: Vec<Worker<'a>>,
    queue: VecDeque<&'a PlannedRun>,
    /// Runs that other processes are at work on.
    busy: usize,
    deaths: HashMap<&'a str, u32>,
    view: View,
    start: Instant,
}

/// What comes from a worker.
enum Heard {
    Event(Event),
    /// Its stdout has ended.
    End,
}

struct Worker<'a> {
    child: Child,
    /// Closed to make it stop.
    stdin: Option<ChildStdin>,
    /// What it is doing, and since when.
    run: Option<(&'a PlannedRun, Instant)>,
    bar: ProgressBar,
    ended: bool,
}

impl<'a> Parent<'a> {
    pub(super) fn new(
        sweep: &'a Sweep,
        place: [PathBuf; 2],
        threads: usize,
        device: &str,
        by_memory: bool,
    ) -> Self {
        let (sender, receiver) = channel();
        Self {
            sweep,
            place,
            threads,
            device: device.to_owned(),
            by_memory,
            sender,
            receiver,
            workers: Vec::new(),
            queue: VecDeque::new(),
            busy: 0,
            deaths: HashMap::new(),
            view: View::new(0),
            start: Instant::now(),
        }
    }

    /// Does the runs with so many workers at a time.
    pub(super) fn run(mut self, todo: &[&'a PlannedRun], jobs: usize) -> anyhow::Result<()> {
        self.queue.extend(todo);
        self.view = View::new(todo.len());
        let mut jobs = jobs.min(todo.len());
        // The first tells how much memory one needs.
        let first = if self.by_memory && cpu::free_memory().is_some() { 1 } else { jobs };
        for _ in 0..first {
            self.spawn()?;
        }
        let mut stopping = false;
        while self.workers.iter().any(|worker| !worker.ended) {
            if !stopping && (stop_is_wanted() || is_over(self.sweep, self.start)) {
                stopping = true;
                self.queue.clear();
                // Those that only have to finish what they do are left alone where time is over.
                if stop_is_wanted() {
                    self.workers.iter_mut().for_each(|worker| drop(worker.stdin.take()));
                }
            } else if stopping && stop_is_wanted() {
                self.workers.iter_mut().for_each(|worker| drop(worker.stdin.take()));
            }
            match self.receiver.recv_timeout(LOOK_UP) {
                Ok((number, Heard::Event(event))) => {
                    if let Event::Step { memory: Some(memory), .. } = event
                        && self.workers.len() < jobs
                        && !stopping
                    {
                        jobs = self.workers.len()
                            + self.fitting(memory).min(jobs - self.workers.len());
                        while self.workers.len() < jobs && !self.queue.is_empty() {
                            self.spawn()?;
                        }
                        jobs = self.workers.len();
                    }
                    self.heard(number, event)?;
                }
                Ok((number, Heard::End)) => self.ended(number, stopping)?,
                Err(RecvTimeoutError::Timeout) => {}
                // The parent has a sender itself.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.view.finish();
        if self.busy > 0 {
            say(&format!("{} of other processes", words::counted(self.busy, "run")));
        }
        Ok(())
    }

    /// How many more workers of this size in bytes the free memory has room for.
    fn fitting(&self, memory: u64) -> usize {
        let Some(free) = cpu::free_memory() else { return usize::MAX };
        // A tenth stays free, for the system and for what is larger in other runs.
        let room = (free as f64 * 0.9 / memory.max(1) as f64) as usize;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) / self.threads;
        if room + self.workers.len() < cores {
            let size = memory as f64 / f64::from(1 << 30);
            say(&format!(
                "a run takes {size:.1} GiB of memory, so there are {} at a time",
                room + self.workers.len()
            ));
        }
        room
    }

    /// Starts a worker and gives it a run.
    fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        let threads = self.threads.to_string();
        command.args(["--threads", &threads, "--device", &self.device, "sweep", "run"]);
        command.arg(&self.place[0]).arg("--out").arg(&self.place[1]).arg("--worker");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (number, sender) = (self.workers.len(), self.sender.clone());
        let stdout = child.stdout.take();
        thread::spawn(move || {
            let lines = stdout.map(|stdout| BufReader::new(stdout).lines());
            for line in lines.into_iter().flatten().map_while(Result::ok) {
                // Whatever is no event was not meant for the parent.
                if let Ok(event) = serde_json::from_str(&line)
                    && sender.send((number, Heard::Event(event))).is_err()
                {
                    return;
                }
            }
            let _ = sender.send((number, Heard::End));
        });
        let stdin = child.stdin.take();
        let bar = self.view.worker();
        self.workers.push(Worker { child, stdin, run: None, bar, ended: false });
        self.give(number);
        Ok(())
    }

    /// Gives a worker the next run, or nothing more to wait for.
    fn give(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.run = None;
        let Some(run) = self.queue.pop_front() else {
            worker.stdin = None;
            worker.bar.finish_and_clear();
            return;
        };
        self.view.begin(&worker.bar, run);
        worker.run = Some((run, Instant::now()));
        // A worker that has died is noticed by its stdout.
        if let Some(stdin) = &mut worker.stdin {
            let _ = writeln!(stdin, "{}", run.name).and_then(|()| stdin.flush());
        }
    }

    fn heard(&mut self, number: usize, event: Event) -> anyhow::Result<()> {
        let worker = &self.workers[number];
        let Some((run, since)) = worker.run else { return Ok(()) };
        match event {
            Event::Step { step, .. } => worker.bar.set_position(step),
            Event::Scoring { score } => worker.bar.set_message(format!("{}  {score}", run.name)),
            Event::Warning { text } => self.view.say(&format!("{}: warning: {text}", run.name)),
            Event::Done => {
                let time = words::duration(since.elapsed().as_secs_f64());
                self.view.over(&format!("done in {time}: {}", run.name));
                self.give(number);
            }
            Event::Failed { message } => {
                self.view.over(&format!("failed: {}: {message}", run.name));
                self.give(number);
            }
            Event::Busy { owner } => {
                self.busy += 1;
                self.view.over(&format!("{owner} is at work on {}", run.name));
                self.give(number);
            }
            // It leaves by itself.
            Event::Stopped => self.workers[number].run = None,
        }
        Ok(())
    }

    /// A worker has ended. If it was in the middle of a run, that is given to another one, unless it has been the end of
    /// several.
    fn ended(&mut self, number: usize, stopping: bool) -> anyhow::Result<()> {
        let worker = &mut self.workers[number];
        worker.ended = true;
        worker.bar.finish_and_clear();
        let status = worker.child.wait()?;
        let Some((run, _)) = worker.run.take() else { return Ok(()) };
        let deaths = self.deaths.entry(&run.name).or_default();
        *deaths += 1;
        let message = format!("the process that did it ended with {status}");
        if *deaths >= DEATHS {
            let message = format!("{message}, the last of {DEATHS}");
            self.sweep.fail(run, &message)?;
            self.view.over(&format!("failed: {}: {message}", run.name));
        } else {
            self.view.say(&format!("{}: {message}; it goes on from its last checkpoint", run.name));
            self.queue.push_front(run);
        }
        if !stopping && !self.queue.is_empty() {
            self.spawn()?;
        }
        Ok(())
    }
}

/// Bars on a terminal, lines elsewhere.
struct View {
    bars: Option<MultiProgress>,
    all: ProgressBar,
    over: usize,
    runs: usize,
}

impl View {
    fn new(runs: usize) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let all = ProgressBar::new(runs as u64)
            .with_style(style("{bar:24.green/dim} {pos}/{len} runs  {elapsed}"));
        let all = match &bars {
            Some(bars) if runs > 0 => bars.add(all),
            _ => ProgressBar::hidden(),
        };
        Self { bars, all, over: 0, runs }
    }

    fn worker(&self) -> ProgressBar {
        match &self.bars {
            Some(bars) => bars.insert_before(
                &self.all,
                ProgressBar::new(0)
                    .with_style(style("{bar:24.cyan/dim} {pos}/{len} {per_sec}  {msg}")),
            ),
            None => ProgressBar::hidden(),
        }
    }

    fn begin(&self, bar: &ProgressBar, run: &PlannedRun) {
        bar.set_length(run.config.train().steps);
        bar.set_position(0);
        bar.reset_eta();
        bar.set_message(run.name.clone());
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// A run is over, one way or the other.
    fn over(&mut self, text: &str) {
        self.over += 1;
        self.all.set_position(self.over as u64);
        self.say(&format!("{}/{} {text}", self.over, self.runs));
    }

    fn finish(&self) {
        self.all.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
