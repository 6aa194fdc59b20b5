//! A run's configuration. [`Recipe`] is what people write: TOML with changes to single keys, of which much may be
//! left out. [`Config`] is what trains: a recipe resolved for images of one shape, with every value, which is
//! written into the run folder. Nothing unknown passes silently.

mod changes;
mod format;
mod recipe;
mod resolved;
mod train;
mod words;

pub use changes::change_data;
#[cfg(feature = "figures")]
pub(crate) use recipe::explain;
pub use recipe::{Recipe, read_recipe};
pub use resolved::Config;
#[cfg(feature = "figures")]
pub(crate) use resolved::value_in_words;
pub use train::TrainConfig;

#[cfg(test)]
mod tests;
