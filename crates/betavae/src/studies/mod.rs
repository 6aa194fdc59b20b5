//! Studies: answers that take several trainings, or one of another kind. They tell how far they are in one way
//! ([`Progress`]) and can be stopped.

mod advise;
mod bottleneck;
mod sweep;

pub use advise::{Advice, LEAST_STEPS, Probe, Tracking, advise};
pub use bottleneck::{BottleneckRow, BottleneckStudy, bottleneck};
pub use sweep::{
    Aggregate, Agreement, Choice, ChosenRun, DataSetReport, Failure, GroupSummary, Quantity,
    RankedRun, SweepReport,
};
pub use sweep::{
    Budget, CollectedRun, Executed, Executor, PlannedRun, RunState, RunStatus, Sweep, SweepFile,
    SweepProgress, columns,
};

use crate::error::{Error, Result};

/// What a caller of a study hears meanwhile, and can say.
pub trait Progress {
    /// After every step, with what is being done, the steps of it that are taken, and their number.
    fn stepped(&mut self, _stage: &str, _step: u64, _steps: u64) {}
    /// Asked before every step; `true` ends the study without a result.
    fn should_stop(&mut self) -> bool {
        false
    }
}

/// Nothing is heard and nothing said.
impl Progress for () {}

/// # Errors
/// If the caller wants to stop.
fn go_on(progress: &mut dyn Progress) -> Result<()> {
    if progress.should_stop() { Err(Error::Stopped) } else { Ok(()) }
}
