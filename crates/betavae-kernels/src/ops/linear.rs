//! The operator of a linear layer with its activation.

use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::elementwise;
use crate::function::{ForwardResult, Function, Operand, apply};
use crate::simd::{SimdLevel, simd_level};
use crate::{linear as linear_kernel, reference};

/// activation(x weight^T + bias).
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: \[O\], result: [B, O]
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<2> {
    match (Operand::of(&x), Operand::of(&weight), Operand::of(&bias)) {
        (Some(x), Some(weight), Some(bias)) => {
            apply(Linear { level: simd_level(), activation, precision }, [x, weight, bias]).0
        }
        _ => reference::linear(x, weight, bias, activation),
    }
}

#[derive(Clone, Debug)]
struct Linear {
    level: SimdLevel,
    activation: Activation,
    precision: Precision,
}

impl Function<3> for Linear {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], _: bool) -> ForwardResult<()> {
        let y =
            linear_kernel::forward(self.level, self.precision, x, weight, bias, self.activation);
        let shape = [y.len() / bias.len(), bias.len()];
        ForwardResult::new(y, shape, ())
    }

    fn backward(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        forward: &ForwardResult<()>,
        gradient: &[f32],
        needs_gradient: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut gradient = gradient.to_vec();
        elementwise::multiply_slope(self.level, &mut gradient, forward.output(), self.activation);
        let outputs = bias.len();
        let (level, precision) = (self.level, self.precision);
        linear_kernel::backward(level, precision, x, weight, &gradient, outputs, needs_gradient)
    }
}
