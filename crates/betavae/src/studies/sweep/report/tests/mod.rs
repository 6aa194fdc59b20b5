//! Aggregates and figures of sketched runs, and reports of small sweeps that were trained.

mod sketched;
mod trained;
