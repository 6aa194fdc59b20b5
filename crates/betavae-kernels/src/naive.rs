//! Convolutions and likelihoods as loops in f64, straight from their definitions, with which tests compare
//! the kernels.

use crate::activation::{Activation, LEAKY_RELU_SLOPE};
use crate::elementwise::Nll;
use crate::stack::Layer;

pub(crate) fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu => x.max(f64::from(LEAKY_RELU_SLOPE) * x),
        Activation::LeakyRelu02 => x.max(f64::from(0.2_f32) * x),
        Activation::Tanh => x.tanh(),
    }
}

pub(crate) fn slope(activation: Activation, y: f64) -> f64 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(u8::from(y > 0.0)),
        Activation::LeakyRelu => {
            if y > 0.0 {
                1.0
            } else {
                f64::from(LEAKY_RELU_SLOPE)
            }
        }
        Activation::LeakyRelu02 => {
            if y > 0.0 {
                1.0
            } else {
                f64::from(0.2_f32)
            }
        }
        Activation::Tanh => 1.0 - y * y,
    }
}

/// Calls `f(small pixel, large pixel, tap)` for every small pixel and every pixel of its receptive field,
/// with indices into maps [H, W] without borders.
fn for_each_tap(
    small: [usize; 3],
    large: [usize; 3],
    layer: &Layer,
    mut f: impl FnMut(usize, usize, [usize; 2]),
) {
    let (stride, padding) = (layer.options.stride, layer.options.padding);
    for y in 0..small[0] {
        for x in 0..small[1] {
            for ky in 0..layer.kernel {
                for kx in 0..layer.kernel {
                    let (Some(ly), Some(lx)) = (
                        (y * stride + ky).checked_sub(padding),
                        (x * stride + kx).checked_sub(padding),
                    ) else {
                        continue;
                    };
                    if ly < large[0] && lx < large[1] {
                        f(y * small[1] + x, ly * large[1] + lx, [ky, kx]);
                    }
                }
            }
        }
    }
}

/// The forward pass of one layer, for one image.
pub(crate) fn forward(
    layer: &Layer,
    shape: [usize; 3],
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let output = layer.output(shape).unwrap();
    let mut y: Vec<f64> = (0..output.iter().product()).map(|i| bias[i % output[2]]).collect();
    let transposed = layer.transposed.is_some();
    let (small, large) = if transposed { (shape, output) } else { (output, shape) };
    for_each_tap(small, large, layer, |s, l, [ky, kx]| {
        for cs in 0..small[2] {
            for cl in 0..large[2] {
                let w = weight[((cs * large[2] + cl) * layer.kernel + ky) * layer.kernel + kx];
                let (s, l) = (s * small[2] + cs, l * large[2] + cl);
                if transposed { y[l] += w * x[s] } else { y[s] += w * x[l] }
            }
        }
    });
    y.iter_mut().for_each(|y| *y = activate(layer.activation, *y));
    y
}

/// The gradients of input, weight and bias, from the gradient before the activation.
pub(crate) fn backward(
    layer: &Layer,
    shape: [usize; 3],
    x: &[f64],
    weight: &[f64],
    gradient: &[f64],
) -> [Vec<f64>; 3] {
    let output = layer.output(shape).unwrap();
    let transposed = layer.transposed.is_some();
    let (small, large) = if transposed { (shape, output) } else { (output, shape) };
    let (mut dx, mut dw, mut db) =
        (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; output[2]]);
    gradient.iter().enumerate().for_each(|(i, g)| db[i % output[2]] += g);
    for_each_tap(small, large, layer, |s, l, [ky, kx]| {
        for cs in 0..small[2] {
            for cl in 0..large[2] {
                let w = ((cs * large[2] + cl) * layer.kernel + ky) * layer.kernel + kx;
                let (s, l) = (s * small[2] + cs, l * large[2] + cl);
                let (input, output) = if transposed { (s, l) } else { (l, s) };
                dx[input] += weight[w] * gradient[output];
                dw[w] += x[input] * gradient[output];
            }
        }
    });
    [dx, dw, db]
}

/// The negative log-likelihood of one value, and its derivative with respect to the output.
pub(crate) fn nll(nll: Nll, output: f64, target: f64) -> [f64; 2] {
    match nll {
        Nll::Bernoulli => {
            let sigmoid = 1.0 / (1.0 + (-output).exp());
            [output.max(0.0) + (-output.abs()).exp().ln_1p() - target * output, sigmoid - target]
        }
        Nll::Gaussian { sigma } => {
            let z = (output - target) / f64::from(sigma);
            [0.5 * z * z, z / f64::from(sigma)]
        }
    }
}
