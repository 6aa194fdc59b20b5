//! The operators as functions over Burn's tensors. Tensors on the CPU backend go to the fused kernels,
//! others to [`crate::reference`]; gradients flow through both. The algorithms are in the modules of the
//! crate.
//!
//! Images and activations are channels-last `[B, H, W, C]`; weights have the layout of PyTorch.

mod aggregate_posterior;
mod conv_norm_stack;
mod conv_stack;
mod likelihood;
mod linear;
mod optimizer;

pub use aggregate_posterior::log_aggregate_posterior;
pub use conv_norm_stack::{BatchMoments, NormalisedLayer, conv_norm_stack, conv_norm_stack_nll};
pub use conv_stack::{conv_stack, conv_stack_nll};
pub use likelihood::{kl_per_latent, nll, reparameterise};
pub use linear::linear;
pub use optimizer::{adagrad, adam, all_finite};

use crate::function::Operand;

/// The most layers that run as one operator. Longer stacks are divided, because the number of operands is
/// a constant of the compiled function.
const MAX_LAYERS: usize = 6;

/// The most layers after the last batch norm that run as one operator with those before it.
const MAX_TAIL_LAYERS: usize = 2;

/// Calls [`apply`] for the number of operands, which has to be a constant.
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
