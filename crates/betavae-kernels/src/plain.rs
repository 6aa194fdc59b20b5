//! Layers of a trained network on slices, without tensors and gradients.

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::linear as kernel;
use crate::simd::level;
use crate::stack::{Layer, Stack};

/// Convolutions and transposed convolutions with bias and activation, one after the other; the same
/// as `ops::conv_stack`.
///
/// # Shapes
/// - `x`: [B, H, W, C] for `input` [H, W, C]
/// - `parameters`: weights [O, I, K, K] (transposed: [I, O, K, K]) and biases \[O\]
/// - result: [B, H', W', O], with the sides of [`Layer::output`]
///
/// # Panics
/// If there is no layer, the input is too small for one, or a slice has another length.
pub fn conv_stack(
    x: &[f32],
    input: [usize; 3],
    layers: &[Layer],
    parameters: &[(&[f32], &[f32])],
) -> Vec<f32> {
    assert_eq!(layers.len(), parameters.len(), "weights and biases for each layer");
    let mut shape = input;
    for (layer, (weight, bias)) in layers.iter().zip(parameters) {
        let expected = shape[2] * layer.filters * layer.kernel * layer.kernel;
        assert_eq!((weight.len(), bias.len()), (expected, layer.filters), "weights of {layer:?}");
        shape = layer.output(shape).unwrap_or_else(|| panic!("{shape:?} is too small"));
    }
    assert!(x.len().is_multiple_of(input.iter().product()), "x is no number of {input:?} maps");
    Stack::prepared(level(), Precision::F32, input, layers).forward(x, parameters, false).0
}

/// activation(x weight^T + bias); the same as `ops::linear`.
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: \[O\], result: [B, O]
///
/// # Panics
/// If a slice has another length, or one is empty.
pub fn linear(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    assert!(!bias.is_empty() && weight.len().is_multiple_of(bias.len()), "weight is not [O, I]");
    assert!(x.len().is_multiple_of((weight.len() / bias.len()).max(1)), "x is not [B, I]");
    kernel::forward(level(), Precision::F32, x, weight, bias, activation)
}
