//! Runs as data: the record of a run, groups of runs that are equal but for named settings, and a table of many runs.
//! Comparisons in figures and reports are made of these, and so never pool unlike runs.

mod columns;
mod groups;
mod history;
mod record;
mod table;

pub use columns::{DataColumn, DataValues, write_columns};
pub use groups::{Group, groups};
pub use history::History;
pub use record::Record;
pub use table::{Column, RunTable};
