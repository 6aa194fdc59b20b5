//! Linear layers.

use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::elementwise;
use crate::function::{Forward, Function, Operand, apply};
use crate::simd::{Level, level};
use crate::{linear as kernel, reference};

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
            apply(Linear { level: level(), activation, precision }, [x, weight, bias]).0
        }
        _ => reference::linear(x, weight, bias, activation),
    }
}

#[derive(Clone, Debug)]
struct Linear {
    level: Level,
    activation: Activation,
    precision: Precision,
}

impl Function<3> for Linear {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], _: bool) -> Forward<()> {
        let y = kernel::forward(self.level, self.precision, x, weight, bias, self.activation);
        let shape = [y.len() / bias.len(), bias.len()];
        Forward::new(y, shape, ())
    }

    fn backward(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        done: &Forward<()>,
        gradient: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut gradient = gradient.to_vec();
        elementwise::multiply_slope(self.level, &mut gradient, done.output(), self.activation);
        let outputs = bias.len();
        let (level, precision) = (self.level, self.precision);
        let (dx, dw, db) =
            kernel::backward(level, precision, x, weight, &gradient, outputs, wanted[0]);
        [dx, Some(dw), Some(db)]
    }
}
