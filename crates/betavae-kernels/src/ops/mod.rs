//! The operators as functions over Burn's tensors: fused kernels where the tensors are on the CPU
//! backend, the readable twins of [`crate::reference`] elsewhere. Gradients flow through both.
//!
//! Images and activations are channels-last `[B, H, W, C]`; weights have the layout of PyTorch.

mod conv;
mod conv_norm;
mod likelihood;
mod linear;
mod optimiser;

pub use conv::{conv_stack, conv_stack_nll};
pub use conv_norm::{BatchMoments, NormalisedLayer, conv_norm_stack, conv_norm_stack_nll};
pub use likelihood::{kl_per_latent, nll, reparameterise};
pub use linear::linear;
pub use optimiser::{adagrad, adam, all_finite};

use crate::function::Operand;

/// The most layers that run as one operator; longer stacks are divided.
const DEEPEST: usize = 6;

/// The most layers after the last normalisation that run as one operator with those before it.
const LONGEST_TAIL: usize = 2;

/// [`apply`] for the number of operands there are, which the compiler has to know.
macro_rules! apply_counted {
    ($function:expr, $operands:expr, [$($n:literal)*]) => {{
        let (function, operands): (_, Vec<Operand>) = ($function, $operands);
        match operands.len() {
            $($n => apply::<_, $n, _>(function, array(operands)),)*
            n => unreachable!("no operator has {n} operands"),
        }
    }};
}

fn array<const N: usize>(operands: Vec<Operand>) -> [Operand; N] {
    operands.try_into().unwrap_or_else(|_| unreachable!("the count was matched"))
}

use apply_counted;
