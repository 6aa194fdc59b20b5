//! Elementary functions of a vector to f32 accuracy, and activations with their gradients. Loops over
//! slices are in `elementwise`.

use crate::activation::{Activation, LEAKY_RELU_SLOPE};
use crate::simd::Simd;

/// e^x, within 2 units in the last place; 0 below -87.3, e^88 above 88.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.min(simd.splat(88.0), x);
    // x = n ln 2 + r with |r| <= ln 2 / 2. ln 2 is split into two parts, so that r is exact.
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let n = simd.max(simd.splat(-126.0), n);
    let r = simd.fma(n, simd.splat(-0.693_359_4), x);
    let r = simd.fma(n, simd.splat(2.121_944_4e-4), r);
    // This is the Taylor series with its last coefficients fitted (Cephes expf).
    let mut p = simd.splat(1.987_569_1e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = simd.fma(p, r, simd.splat(c));
    }
    let one_plus = simd.add(simd.fma(p, simd.mul(r, r), r), simd.splat(1.0));
    let y = simd.mul(one_plus, simd.pow2(n));
    // n was clamped below the smallest normal number, where the result is 0. NaN stays NaN.
    simd.where_positive(simd.sub(simd.splat(-87.3), x), simd.splat(0.0), y)
}

/// ln(1 + t) for t in [0, 1], as 2 artanh(t / (2 + t)).
#[inline(always)]
pub(crate) fn ln_1p_unit<S: Simd>(simd: S, t: S::V) -> S::V {
    let s = simd.div(t, simd.add(t, simd.splat(2.0)));
    let z = simd.mul(s, s);
    // z is at most 1/9, so that the terms left out are below 2e-9.
    let mut p = simd.splat(1.0 / 15.0);
    for denominator in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        p = simd.fma(p, z, simd.splat(1.0 / denominator));
    }
    let twice = simd.add(s, s);
    simd.fma(simd.mul(p, z), twice, twice)
}

/// |x|; NaN stays NaN.
#[inline(always)]
pub(crate) fn abs<S: Simd>(simd: S, x: S::V) -> S::V {
    simd.max(simd.sub(simd.splat(0.0), x), x)
}

/// tanh(x): a polynomial near 0 (Cephes tanhf), elsewhere from e^(-2|x|).
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    let one = simd.splat(1.0);
    let size = abs(simd, x);
    let z = simd.mul(x, x);
    let mut p = simd.splat(-5.704_988_7e-3);
    for c in [2.063_909e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = simd.fma(p, z, simd.splat(c));
    }
    let near = simd.fma(simd.mul(p, z), x, x);
    let e = exp(simd, simd.mul(size, simd.splat(-2.0)));
    let far = simd.div(simd.sub(one, e), simd.add(one, e));
    let far = simd.where_positive(x, far, simd.sub(simd.splat(0.0), far));
    simd.where_positive(simd.sub(size, simd.splat(0.625)), far, near)
}

/// The activation of every lane. NaN stays NaN.
#[inline(always)]
pub(crate) fn activate<S: Simd>(simd: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::Identity => x,
        // The processor's max returns its second operand if one is NaN.
        Activation::Relu => simd.max(simd.splat(0.0), x),
        Activation::LeakyRelu => simd.max(simd.mul(x, simd.splat(LEAKY_RELU_SLOPE)), x),
        Activation::LeakyRelu02 => simd.max(simd.mul(x, simd.splat(0.2)), x),
        Activation::Tanh => tanh(simd, x),
    }
}

/// The backward pass of the activation: `gradient` times its slope, which follows from its `output`.
#[inline(always)]
pub(crate) fn multiply_slope<S: Simd>(
    simd: S,
    activation: Activation,
    output: S::V,
    gradient: S::V,
) -> S::V {
    match activation {
        Activation::Identity => gradient,
        Activation::Relu => simd.where_positive(output, gradient, simd.splat(0.0)),
        Activation::LeakyRelu => {
            simd.where_positive(output, gradient, simd.mul(gradient, simd.splat(LEAKY_RELU_SLOPE)))
        }
        Activation::LeakyRelu02 => {
            simd.where_positive(output, gradient, simd.mul(gradient, simd.splat(0.2)))
        }
        Activation::Tanh => {
            let slope = simd.sub(simd.splat(1.0), simd.mul(output, output));
            simd.mul(gradient, slope)
        }
    }
}
