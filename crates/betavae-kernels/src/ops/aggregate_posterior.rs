//! The operator of densities under the aggregate posterior.

use burn::tensor::Tensor;

use crate::aggregate_posterior::{self, MixtureWeights};
use crate::function::{ForwardResult, Function, Operand, apply};
use crate::reference;
use crate::simd::{SimdLevel, simd_level};

/// ln q(z) and the sum over latents of ln q(z_d) of samples, in nats, where q is the mixture of the batch's posteriors
/// N(mean, exp(log_var)) with these weights (Chen et al. 2018, "Isolating Sources of Disentanglement in VAEs").
///
/// # Shapes
/// - `z`, `mean`, `log_var`: [B, D]; result: [B, 2]
pub fn log_aggregate_posterior(
    z: Tensor<2>,
    mean: Tensor<2>,
    log_var: Tensor<2>,
    weights: MixtureWeights,
) -> Tensor<2> {
    let shape = z.dims();
    match (Operand::of(&z), Operand::of(&mean), Operand::of(&log_var)) {
        (Some(z), Some(mean), Some(log_var)) => {
            let function = LogAggregatePosterior { level: simd_level(), shape, weights };
            apply(function, [z, mean, log_var]).0
        }
        _ => reference::log_aggregate_posterior(z, mean, log_var, weights),
    }
}

#[derive(Clone, Debug)]
struct LogAggregatePosterior {
    level: SimdLevel,
    /// [B, D]
    shape: [usize; 2],
    weights: MixtureWeights,
}

impl Function<3> for LogAggregatePosterior {
    type Saved = ();

    fn forward(&self, inputs: [&[f32]; 3], _: bool) -> ForwardResult<()> {
        let [batch, latents] = self.shape;
        let values = aggregate_posterior::forward(self.level, inputs, latents, self.weights);
        ForwardResult::new(values, [batch, 2], ())
    }

    fn backward(
        &self,
        inputs: [&[f32]; 3],
        _: &ForwardResult<()>,
        gradient: &[f32],
        _needs_gradient: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let [_, latents] = self.shape;
        aggregate_posterior::backward(self.level, inputs, latents, self.weights, gradient).map(Some)
    }
}
