//! Sweeps: many runs that are described in one file, done once each by any number of processes on any number of machines.
//!
//! | module | what it is |
//! | --- | --- |
//! | `file` | a sweep as people write it |
//! | `plan` | the runs that it stands for, each with its configuration and the name of its folder |
//! | `state` | how far each of them is, read from its folder |
//! | `execute` | what a process does with one of them |
//! | `collect` | all of them as a table |
//! | `report` | what they come to together, as a page and as files |
//!
//! The folders of the runs are all the state there is. The name of a run ends with a hash of its configuration, so the same
//! file stands for the same folders however often it is read and whatever else it comes to describe. A lease per folder
//! ([`crate::run`]) keeps two processes from executing one run at once. Whoever wants to share the work (cores, job arrays,
//! shells) takes any of the names.

mod collect;
mod execute;
mod file;
mod plan;
mod report;
mod state;

pub use collect::{CollectedRun, columns};
pub use execute::{Executed, Executor};
pub use file::{Budget, SweepFile};
pub use plan::{PlannedRun, Sweep};
pub use report::{
    Aggregate, Agreement, Choice, ChosenRun, DataSetReport, Failure, GroupSummary, Quantity,
    RankedRun, SweepReport,
};
pub use state::{RunState, RunStatus, SweepProgress};
