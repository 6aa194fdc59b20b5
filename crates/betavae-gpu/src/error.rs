//! What can go wrong on a GPU.

use thiserror::Error;

/// Why something could not be done on a GPU.
#[derive(Debug, Error)]
pub enum GpuError {
    /// No adapter of that name.
    #[error("no device `{wanted}`: {found}")]
    NoDevice {
        /// The name that was asked for.
        wanted: String,
        /// What there is instead.
        found: String,
    },
    /// The adapter cannot hold or run it.
    #[error("{adapter} is too small: {what}: expected at least {expected}, found {found}")]
    TooSmall {
        /// The adapter.
        adapter: String,
        /// The limit.
        what: String,
        /// What is needed.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Its memory is full.
    #[error("the memory of {adapter} is full: {megabytes} MB are needed")]
    OutOfMemory {
        /// The adapter.
        adapter: String,
        /// What the buffers take.
        megabytes: u64,
    },
    /// The driver has given it up, as when it was unplugged or another program made it hang.
    #[error("{adapter} is lost: {reason}")]
    Lost {
        /// The adapter.
        adapter: String,
        /// What the driver says.
        reason: String,
    },
    /// A tensor that the network has not, or of another length.
    #[error("the tensors do not fit the network: {0}")]
    Tensors(String),
}

impl GpuError {
    /// The likely fix; may be empty.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoDevice { .. } => {
                "`betavae devices` lists what there is; `--device cpu` needs no driver"
            }
            Self::TooSmall { .. } => "a smaller train.batch or network, or `--device cpu`",
            Self::OutOfMemory { .. } => "a smaller train.batch, or `--device cpu`",
            Self::Lost { .. } => {
                "checkpoints that were complete are valid; `betavae resume` goes on from the newest"
            }
            Self::Tensors(_) => "",
        }
    }
}
