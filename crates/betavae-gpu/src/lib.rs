//! Training steps of convolutional variational autoencoders on a GPU, as a fixed list of few launches.
//!
//! [`Plan`] turns a network and a batch into regions of memory and launches, and can be read as a table. [`Session`] runs it
//! on a [`Device`], and only allocates, launches, reads and writes. The kernels are in `kernels/`, in WGSL. There is no tensor
//! library here, and nothing that learns: what a step is taken on and what becomes of it is the caller's.

mod device;
mod error;
mod images;
mod network;
mod plan;
mod session;

pub use device::{AdapterFacts, Device, DeviceName, adapters};
pub use error::GpuError;
pub use images::{Encoding, ImageStore};
pub use network::{Direction, Geometry, Layer, Network, Parameter};
pub use plan::{
    Constraint, End, Form, Kernel, Launch, Loss, NllKind, Plan, Region, Rule, StateLayout,
    StateTensor,
};
pub use session::{Images, Session, Slot, StepNumbers, StepTerms};
