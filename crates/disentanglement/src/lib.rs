//! Scores of disentangled representations, on plain arrays of codes and factors.
//!
//! Codes are what an encoder makes of N images: D numbers each, usually the posterior's mean.
//! [`Factors`] are what generated the images: K classes each. Both come from any tool:
//!
//! ```
//! use disentanglement::{Codes, Factors, Labelled};
//! // Two latents that are the two factors, one of them upside down.
//! let factors: Vec<i64> = (0..200).flat_map(|i| [i % 4, i / 4 % 5]).collect();
//! let codes: Vec<f64> = factors.chunks(2).flat_map(|y| [y[1] as f64, -(y[0] as f64)]).collect();
//! let data = Labelled::new(Codes::new(&codes, 2)?, Factors::new(&factors, 2)?)?;
//! assert_eq!((data.len(), data.factors().sizes()), (200, &[4, 5][..]));
//! # Ok::<(), disentanglement::Error>(())
//! ```
//!
//! Everything random takes a seed, and gives the same numbers for every number of threads. All
//! information is in nats. Every function says which published convention it follows.

mod activity;
mod array;
mod beta_vae;
mod dci;
mod downstream;
mod error;
mod estimate;
mod explicitness;
mod factor_vae;
mod infomec;
mod information;
mod irs;
pub mod learn;
mod mig;
mod mig_chen;
mod modularity;
mod number;
mod random;
mod sap;
mod source;
mod split;
mod statistics;
mod suite;
#[cfg(test)]
mod testing;
mod udr;
mod unsupervised;

pub use activity::{ACTIVE, Activity, activity};
pub use array::{Codes, Factors, Labelled, Matrix};
pub use beta_vae::{BetaVaeScore, BetaVaeSettings, Guesser, beta_vae};
pub use dci::{Dci, Predictor, dci};
pub use downstream::{DOWNSTREAM_SIZES, Downstream, Learner, downstream};
pub use error::{Error, Result};
pub use estimate::{Estimate, bootstrap, repeated};
pub use explicitness::{Explicitness, explicitness};
pub use factor_vae::{FactorVaeScore, FactorVaeSettings, factor_vae};
pub use infomec::{InfoMec, infomec};
pub use information::BINS;
pub use irs::{Irs, IrsSettings, irs};
pub use mig::{Mig, mig};
pub use mig_chen::mig_chen;
pub use modularity::{Modularity, modularity};
pub use random::Random;
pub use sap::{Sap, sap, sap_continuous};
pub use source::{Draw, Generator, Pool, Source};
pub use split::Split;
pub use statistics::{bootstrap_mean, median, quantile, ranks, spearman};
pub use suite::{DciWith, Progress, Score, ScoreName, Scores, Suite, SuiteSettings};
pub use udr::{Similarity, Udr, UdrModel, udr};
pub use unsupervised::{Unsupervised, unsupervised};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
