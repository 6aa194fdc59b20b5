//! The layers of a trained network on slices of floats, for inference without tensors. Nothing here has
//! gradients; the functions over tensors, which have, are in `ops`.

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::linear as linear_kernel;
use crate::simd::simd_level;
use crate::stack::{Layer, Stack};

/// Convolutions and transposed convolutions with bias and activation, one after the other, as
/// `ops::conv_stack`.
///
/// # Shapes
/// - `x`: [B, H, W, C], where `input` is [H, W, C]
/// - `parameters`: for each layer, the weight [O, I, K, K] (transposed: [I, O, K, K]) and the bias \[O\]
/// - result: [B, H', W', O], with the sides of [`Layer::output`]
///
/// # Panics
/// If there is no layer, the input is too small for one, or a slice has another length than these
/// shapes.
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
    assert!(x.len().is_multiple_of(input.iter().product()), "x is not [B, H, W, C] for {input:?}");
    Stack::prepared(simd_level(), Precision::F32, input, layers).forward(x, parameters, false).0
}

/// activation(x weight^T + bias), as `ops::linear`.
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: \[O\], result: [B, O]
///
/// # Panics
/// If a slice has another length than these shapes, or is empty.
pub fn linear(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    assert!(!bias.is_empty() && weight.len().is_multiple_of(bias.len()), "weight is not [O, I]");
    assert!(x.len().is_multiple_of((weight.len() / bias.len()).max(1)), "x is not [B, I]");
    linear_kernel::forward(simd_level(), Precision::F32, x, weight, bias, activation)
}
