//! Training on the terminal: a view that follows every step, or plain lines now and then.

mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use betavae::objective::Terms;
use betavae::run::Observer;
use betavae::studies;
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::say;
use crate::signals::stop_is_wanted;
use view::View;

/// Lines of the bar itself and below the view.
const MARGIN: usize = 2;
/// A terminal with less room than this has the bar alone.
const SMALLEST: [usize; 2] = [16, 60];

/// Shows the progress of a run.
pub struct Progress {
    bar: Option<ProgressBar>,
    view: View,
    steps: u64,
    start: (Instant, u64),
    spoken: Option<Instant>,
    drawn: Option<Instant>,
    /// While the finished model is scored.
    scores: Option<ProgressBar>,
    /// Whether checkpoints are told.
    tells_checkpoints: bool,
}

impl Progress {
    /// For a run that goes on from `step` to `steps`.
    pub fn new(step: u64, steps: u64) -> Self {
        let clever = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = (std::io::stderr().is_terminal() && clever).then(|| {
            let bar = ProgressBar::new(steps);
            let style = "{bar:12.cyan/dim} {pos}/{len}  {per_sec}  {eta} left{msg}";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .with_key(
                        "per_sec",
                        |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                            // A failed write to a string buffer has no consequence.
                            let _ = write!(out, "{:.1} steps/s", state.per_sec());
                        },
                    ),
            );
            bar.set_position(step);
            bar.reset_eta();
            bar
        });
        let start = (Instant::now(), step);
        let (view, scores) = (View::default(), None);
        let (spoken, drawn) = (None, None);
        Self { bar, view, steps, start, spoken, drawn, scores, tells_checkpoints: true }
    }

    /// What follows the bar: the view below it, or in a small window the summary beside it.
    fn message(&self, terms: &Terms) -> String {
        let (height, width) = Term::stderr().size();
        let (height, width) = (usize::from(height), usize::from(width));
        if height < SMALLEST[0] || width < SMALLEST[1] {
            let beside: String = terms.summary().chars().take(width / 3).collect();
            return format!("  {beside}");
        }
        let lines = self.view.lines(terms, width - 1, height - MARGIN);
        lines.iter().map(|line| format!("\n{line}")).collect()
    }

    /// Leaves the last line on the terminal.
    pub fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
        if let Some(bar) = self.scores.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress {
    /// The same without word of checkpoints, where there are many runs.
    pub fn without_checkpoints(self) -> Self {
        Self { tells_checkpoints: false, ..self }
    }

    /// A line above the bar.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Observer for Progress {
    fn stepped(&mut self, step: u64, terms: &Terms) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            // To compose the view at every step would be felt.
            let due = self.drawn.is_none_or(|last| last.elapsed() > Duration::from_millis(100));
            if due || step == self.steps {
                self.drawn = Some(Instant::now());
                bar.set_message(self.message(terms));
            }
        }
    }

    fn logged(&mut self, step: u64, mean: &Terms) {
        self.view.log(mean);
        let due = self.spoken.is_none_or(|last| last.elapsed() > Duration::from_secs(5));
        if self.bar.is_some() || !(due || step == self.steps) {
            return;
        }
        self.spoken = Some(Instant::now());
        let rate = (step - self.start.1) as f64 / self.start.0.elapsed().as_secs_f64();
        let left = Duration::from_secs(((self.steps - step) as f64 / rate) as u64);
        let left = indicatif::HumanDuration(left);
        let mean = mean.summary();
        say(&format!("step {step}/{}  {rate:.1} steps/s  {mean}  {left:#} left", self.steps));
    }

    fn warned(&mut self, warning: &str) {
        self.say(&format!("warning: {warning}"));
    }

    fn saved(&mut self, checkpoint: &Path) {
        if self.tells_checkpoints {
            self.say(&format!("saved {}", checkpoint.display()));
        }
    }

    fn scoring(&mut self, score: &str, share: f64) {
        let bar = self.scores.get_or_insert_with(|| scores().0);
        show_score(bar, score, share);
    }

    fn should_stop(&mut self) -> bool {
        stop_is_wanted()
    }
}

/// Shows the progress of a study: a bar for each stage, or a line where there is no terminal.
#[derive(Default)]
pub struct StudyProgress {
    bar: Option<ProgressBar>,
    stage: String,
}

impl StudyProgress {
    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl studies::Progress for StudyProgress {
    fn stepped(&mut self, stage: &str, step: u64, steps: u64) {
        let bar = self.bar.get_or_insert_with(|| {
            let template = "{bar:24.cyan/dim} {pos}/{len}  {msg}  {eta} left";
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(steps)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        if self.stage != stage {
            stage.clone_into(&mut self.stage);
            if bar.is_hidden() {
                say(stage);
            }
            bar.set_message(stage.to_owned());
            bar.set_length(steps);
            bar.reset();
        }
        bar.set_position(step);
    }

    fn should_stop(&mut self) -> bool {
        stop_is_wanted()
    }
}

/// A bar that appears when opening a data set takes more than a moment.
#[derive(Default)]
pub struct Opening {
    start: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Opening {
    /// So many images are done.
    pub fn update(&mut self, done: usize, total: usize) {
        let start = *self.start.get_or_insert_with(Instant::now);
        if self.bar.is_none() && start.elapsed() > Duration::from_millis(300) {
            let (bar, _) = images(total);
            bar.reset_eta();
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar for work on many images; call the closure with the number done.
pub fn images(total: usize) -> (ProgressBar, impl FnMut(usize) -> betavae::Result<()>) {
    let bar = if std::io::stderr().is_terminal() {
        let template = "{bar:24.cyan/dim} {pos}/{len} images  {per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(total as u64).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let handle = bar.clone();
    let show = move |done| {
        handle.set_position(done as u64);
        Ok(())
    };
    (bar, show)
}

/// A line for downloads: call the closure with a file, its bytes that are here, and all its bytes.
pub fn downloads() -> (ProgressBar, impl FnMut(&str, u64, Option<u64>)) {
    let bar = if std::io::stderr().is_terminal() {
        let template =
            "{bar:24.cyan/dim} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(0).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let handle = bar.clone();
    (bar, move |file: &str, here, all: Option<u64>| {
        if handle.message() != file {
            handle.set_message(file.to_owned());
            // The speed is that of this download, without what was here before.
            handle.reset_eta();
        }
        handle.set_length(all.unwrap_or(here));
        handle.set_position(here);
    })
}

/// A line for scores: call the closure with the score that is worked on and its share done.
pub fn scores() -> (ProgressBar, impl Fn(&str, f64) + Sync) {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:24.cyan/dim} {msg}  {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(1000).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let handle = bar.clone();
    (bar, move |score: &str, share: f64| show_score(&handle, score, share))
}

fn show_score(bar: &ProgressBar, score: &str, share: f64) {
    bar.set_message(score.to_owned());
    bar.set_position((1000.0 * share) as u64);
}
