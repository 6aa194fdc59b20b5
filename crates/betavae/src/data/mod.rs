//! Data sets: images by index, kept as bits or bytes until a batch is assembled.
//!
//! From the left to the right, each importing only from those before it:
//!
//! | module | what it is |
//! | --- | --- |
//! | `shape`, `factors`, `dataset`, `order`, `config` | shared types: [`ImageShape`], [`Factors`], [`Dataset`], the order of training, the `[data]` table |
//! | `geometry`, `fitted` | how images become images of another shape |
//! | [`dsprites`], [`variants`], [`blobs`] | sets that are rendered in memory |
//! | `store`, `cache`, `reader`, `stored` | pixels of files by index, scanned once and prepared |
//! | `bundle`, `split`, `labels` | files in folders and archives; their parts; tables of factors joined to images |
//! | `arrays`, `pictures`, `parquet`, `official` | readers of formats |
//! | `pairs` | pairs of images that share factors, or of a table |
//! | [`sets`], [`fetch`] | official sets by name, and their downloads |
//! | `source`, `open` | which reader a path is for, which settings it takes; [`open`] |

mod arrays;
pub mod blobs;
mod bundle;
pub(crate) mod cache;
mod config;
mod dataset;
pub mod dsprites;
mod factors;
#[cfg(feature = "fetch")]
pub mod fetch;
mod fitted;
mod geometry;
mod labels;
mod official;
mod open;
pub mod order;
#[cfg(feature = "model")]
pub(crate) mod pairs;
mod parquet;
mod pictures;
mod reader;
pub mod sets;
mod shape;
mod source;
mod split;
mod store;
mod stored;
pub mod variants;

pub use config::{Background, DataConfig, Layout, Split};
pub use dataset::{Dataset, read_batch};
pub(crate) use factors::numbers_images;
pub use factors::{Factor, FactorGrid, FactorTable, Factors};
pub use labels::LABEL_TABLES;
pub(crate) use labels::{GapPolicy, factors_of};
#[cfg(fuzzing)]
pub use official::read_all;
#[cfg(feature = "model")]
pub(crate) use open::depends_on_seed;
pub use open::{
    RENDERED_SETS, config_by_word, config_for_model, open, open_name_or_path, open_with_progress,
};
#[cfg(feature = "model")]
pub use pairs::PairsConfig;
pub use shape::ImageShape;

#[cfg(all(test, feature = "formats"))]
mod tests;
#[cfg(all(test, not(feature = "formats")))]
mod without_formats;
