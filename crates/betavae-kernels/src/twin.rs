//! The readable twin of the convolution kernels: loops in f64, straight from the definition.

use crate::activation::{Activation, LEAK};
use crate::elementwise::Nll;
use crate::stack::Layer;

pub(crate) fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu => x.max(f64::from(LEAK) * x),
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
                f64::from(LEAK)
            }
        }
        Activation::Tanh => 1.0 - y * y,
    }
}

/// Calls `f(small pixel, large pixel, tap)` for every pair of pixels that see each other, with
/// indices into the plain maps [H, W].
fn for_each_pair(
    small: [usize; 3],
    large: [usize; 3],
    layer: &Layer,
    mut f: impl FnMut(usize, usize, [usize; 2]),
) {
    let (stride, padding) = (layer.window.stride, layer.window.padding);
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

/// One image through one layer.
pub(crate) fn forward(
    layer: &Layer,
    shape: [usize; 3],
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let output = layer.output(shape).unwrap();
    let mut y: Vec<f64> = (0..output.iter().product()).map(|i| bias[i % output[2]]).collect();
    let up = layer.transposed.is_some();
    let (small, large) = if up { (shape, output) } else { (output, shape) };
    for_each_pair(small, large, layer, |s, l, [ky, kx]| {
        for cs in 0..small[2] {
            for cl in 0..large[2] {
                let w = weight[((cs * large[2] + cl) * layer.kernel + ky) * layer.kernel + kx];
                let (s, l) = (s * small[2] + cs, l * large[2] + cl);
                if up { y[l] += w * x[s] } else { y[s] += w * x[l] }
            }
        }
    });
    y.iter_mut().for_each(|y| *y = activate(layer.activation, *y));
    y
}

/// Gradients by input, weight and bias, for the gradient before the activation.
pub(crate) fn backward(
    layer: &Layer,
    shape: [usize; 3],
    x: &[f64],
    weight: &[f64],
    gradient: &[f64],
) -> [Vec<f64>; 3] {
    let output = layer.output(shape).unwrap();
    let up = layer.transposed.is_some();
    let (small, large) = if up { (shape, output) } else { (output, shape) };
    let (mut dx, mut dw, mut db) =
        (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; output[2]]);
    gradient.iter().enumerate().for_each(|(i, g)| db[i % output[2]] += g);
    for_each_pair(small, large, layer, |s, l, [ky, kx]| {
        for cs in 0..small[2] {
            for cl in 0..large[2] {
                let at = ((cs * large[2] + cl) * layer.kernel + ky) * layer.kernel + kx;
                let (s, l) = (s * small[2] + cs, l * large[2] + cl);
                let (input, output) = if up { (s, l) } else { (l, s) };
                dx[input] += weight[at] * gradient[output];
                dw[at] += x[input] * gradient[output];
            }
        }
    });
    [dx, dw, db]
}

/// Value and derivative by the output of the negative log-likelihood of one value.
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
