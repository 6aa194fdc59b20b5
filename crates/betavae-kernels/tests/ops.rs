//! Tests of the fused operators against the reference implementations: values and gradients, through
//! Burn's tape. They run on the fastest instruction set, or the one that `BETAVAE_SIMD` names.

use std::cell::Cell;

use betavae_kernels::ops::{self, BatchMoments, NormalisedLayer};
use betavae_kernels::{Activation, AdamStep, ConvOptions, Layer, Nll, Precision, reference};
use burn::tensor::s;
use burn::tensor::{Device, Tensor, TensorData};

const ACTIVATIONS: [Activation; 5] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::LeakyRelu02,
    Activation::Tanh,
];

thread_local! {
    /// Every test runs on a thread of its own, so each sees the same numbers every time.
    static STATE: Cell<u64> = const { Cell::new(1) };
}

/// Pseudo-random values in [-1, 1).
fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let next = || {
        let state = STATE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        STATE.set(state);
        ((state >> 40) as f32) / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-6, |max: f32, x| max.max(x.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * scale, "{what}: {a} instead of {b}, scale {scale}");
    }
}

/// Compares outputs and, under a random upstream gradient, the gradients of all inputs.
macro_rules! compare {
    ($what:expr, [$($input:ident),+], $fused:expr, $expected_y:expr) => {{
        let (fused, expected_y) = ($fused, $expected_y);
        let what = $what;
        assert_close(&what, &values(fused.clone().inner()), &values(expected_y.clone().inner()), 2e-5);
        let upstream = random(fused.dims()).detach();
        let found = (fused * upstream.clone()).sum().backward();
        let expected = (expected_y * upstream).sum().backward();
        $(
            let gradient = |all: &_| values($input.grad(all).expect("a gradient"));
            let what = format!("{what}, gradient of {}", stringify!($input));
            assert_close(&what, &gradient(&found), &gradient(&expected), 5e-5);
        )+
    }};
}

#[test]
fn linear() {
    for (batch, inputs, outputs) in [(1, 1, 1), (3, 10, 256), (64, 37, 20), (33, 1100, 65)] {
        for activation in ACTIVATIONS {
            let x = random([batch, inputs]);
            let weight = random([outputs, inputs]).mul_scalar(0.2).detach().require_grad();
            let bias = random([outputs]);
            let all = || (x.clone(), weight.clone(), bias.clone());
            let ((a, b, c), (d, e, f)) = (all(), all());
            compare!(
                format!("linear {batch} x {inputs} to {outputs} {activation:?}"),
                [x, weight, bias],
                ops::linear(a, b, c, activation, Precision::F32),
                reference::linear(d, e, f, activation)
            );
        }
    }
}

/// With operands that bf16 holds exactly, sums are those of f32, of an even and odd number of terms.
#[test]
fn linear_in_bf16() {
    for (batch, inputs, outputs) in [(6, 10, 256), (64, 37, 20), (33, 2300, 64), (2, 8, 1500)] {
        let coarse = |tensor: Tensor<2>| {
            tensor.mul_scalar(64.0).round().div_scalar(64.0).detach().require_grad()
        };
        let (x, weight) = (coarse(random([batch, inputs])), coarse(random([outputs, inputs])));
        let (bias, upstream) = (random([outputs]), coarse(random([batch, outputs])));
        let run = |precision| {
            let all = (x.clone(), weight.clone(), bias.clone());
            let y = ops::linear(all.0, all.1, all.2, Activation::Identity, precision);
            let gradients = (y.clone() * upstream.clone()).sum().backward();
            let [dx, dw] = [&x, &weight].map(|of| values(of.grad(&gradients).expect("a gradient")));
            [values(y.inner()), dx, dw]
        };
        for (found, expected) in run(Precision::Bf16).iter().zip(run(Precision::F32)) {
            assert_close(&format!("{batch} x {inputs} to {outputs}"), found, &expected, 2e-5);
        }
    }
}

#[test]
fn convolutions() {
    let layer = |transposed, filters, activation| Layer {
        transposed,
        filters,
        kernel: 4,
        options: ConvOptions { stride: 2, padding: 1 },
        activation,
    };
    // More layers than run as one operator.
    let layers = [
        layer(Some([1, 0]), 6, Activation::Relu),
        layer(None, 20, Activation::LeakyRelu),
        layer(Some([0, 1]), 3, Activation::Tanh),
        layer(None, 5, Activation::Identity),
        layer(Some([0, 0]), 17, Activation::Relu),
        layer(None, 4, Activation::Identity),
        layer(Some([0, 0]), 2, Activation::Identity),
    ];
    let x = random([3, 5, 4, 2]);
    let mut channels = 2;
    let mut parameters = Vec::new();
    for layer in &layers {
        let io = if layer.transposed.is_some() {
            [channels, layer.filters]
        } else {
            [layer.filters, channels]
        };
        let weight = random([io[0], io[1], 4, 4]).mul_scalar(0.3).detach().require_grad();
        parameters.push((weight, random([layer.filters])));
        channels = layer.filters;
    }
    let (first, _) = parameters[0].clone();
    let (last, bias) = parameters[6].clone();
    let expected_y = reference::conv_stack(x.clone(), &layers, parameters.clone());
    compare!(
        "stack".to_owned(),
        [x, first, last, bias],
        ops::conv_stack(x.clone(), &layers, parameters.clone(), Precision::F32),
        expected_y.clone()
    );
    let target = random(expected_y.dims()).abs().detach();
    for nll in [Nll::Bernoulli, Nll::Gaussian { sigma: 0.3 }] {
        let (x, parameters, t) = (x.clone(), parameters.clone(), target.clone());
        let expected_y = reference::conv_stack(x.clone(), &layers, parameters.clone());
        compare!(
            format!("stack with {nll:?}"),
            [x, first, last, bias],
            ops::conv_stack_nll(x.clone(), &layers, parameters, t.clone(), nll, Precision::F32),
            reference::nll(expected_y, t, nll).mean()
        );
    }
}

/// Layers with batch norm for an input of `channels`.
fn normalised(mut channels: usize, layers: &[Layer]) -> Vec<NormalisedLayer> {
    let mut all = Vec::new();
    for layer in layers {
        let shape = if layer.transposed.is_some() {
            [channels, layer.filters, layer.kernel, layer.kernel]
        } else {
            [layer.filters, channels, layer.kernel, layer.kernel]
        };
        channels = layer.filters;
        // Far from zero, where a careless variance loses its digits.
        let bias = (random([channels]) + 10.0).detach().require_grad();
        let norm = ((random([channels]) + 1.5).detach().require_grad(), random([channels]));
        all.push(NormalisedLayer { layer: *layer, conv: (random(shape), bias), norm });
    }
    all
}

/// Compares fused layers with batch norm to the reference: output, moments, and all gradients.
fn compare_normalised(
    what: &str,
    x: &Tensor<4>,
    layers: &[NormalisedLayer],
    fused: (Tensor<1>, Vec<BatchMoments>),
    expected_y: (Tensor<1>, Vec<BatchMoments>),
) {
    assert_close(
        what,
        &values(fused.0.clone().inner()),
        &values(expected_y.0.clone().inner()),
        1e-4,
    );
    for (found, expected) in fused.1.into_iter().zip(expected_y.1) {
        assert_eq!(found.count, expected.count);
        assert_close(what, &values(found.mean), &values(expected.mean), 2e-5);
        assert_close(what, &values(found.variance), &values(expected.variance), 1e-3);
    }
    let (found, expected) = (fused.0.sum().backward(), expected_y.0.sum().backward());
    for (i, NormalisedLayer { conv, norm, .. }) in layers.iter().enumerate() {
        let what = format!("{what}, layer {i}");
        let both = (conv.0.grad(&found).unwrap(), conv.0.grad(&expected).unwrap());
        assert_close(&what, &values(both.0), &values(both.1), 1e-3);
        // A bias before the mean is taken away has no effect.
        let bias = values(conv.1.grad(&found).unwrap());
        assert!(bias.iter().all(|gradient| *gradient == 0.0), "{what}: {bias:?}");
        for parameter in [&norm.0, &norm.1] {
            let both = (parameter.grad(&found).unwrap(), parameter.grad(&expected).unwrap());
            assert_close(&what, &values(both.0), &values(both.1), 1e-3);
        }
    }
    let both = (x.grad(&found).unwrap(), x.grad(&expected).unwrap());
    assert_close(&format!("{what}, x"), &values(both.0), &values(both.1), 1e-3);
}

#[test]
fn normalised_convolutions() {
    let layer = |transposed, filters, activation| Layer {
        transposed,
        filters,
        kernel: 3,
        options: ConvOptions { stride: 2, padding: 1 },
        activation,
    };
    for activation in ACTIVATIONS {
        // One layer; several, narrow and wide enough to be divided by weights; more than run as one
        // operator.
        let conv = |filters| layer(None, filters, activation);
        let conv_transpose = |filters| layer(Some([1, 1]), filters, activation);
        let deep = [
            conv(5),
            conv_transpose(18),
            conv(33),
            conv_transpose(7),
            conv(3),
            conv_transpose(4),
            conv(6),
            conv_transpose(2),
        ];
        let cases: [(&[Layer], [usize; 4]); 4] = [
            (&[conv(5)], [3, 5, 4, 2]),
            (&[conv_transpose(130), conv(140)], [9, 3, 3, 120]),
            (&[conv(300), conv_transpose(9)], [10, 4, 6, 60]),
            (&deep, [5, 8, 8, 3]),
        ];
        for (layers, shape) in cases {
            let x = random(shape);
            let all = normalised(shape[3], layers);
            let (y, moments) = ops::conv_norm_stack(x.clone(), all.clone(), Precision::F32);
            let (expected, m) = reference::conv_norm_stack(x.clone(), all.clone());
            let upstream = random(y.dims()).detach();
            let flat = |y: Tensor<4>| (y * upstream.clone()).flatten::<1>(0, 3);
            let what = format!("{shape:?} {activation:?} {}", layers.len());
            compare_normalised(&what, &x, &all, (flat(y), moments), (flat(expected), m));
        }
        for (layers, last) in [(&deep[..2], 1), (&deep[..], 1), (&deep[..3], 3)] {
            let x = random([5, 8, 8, 3]);
            let all = normalised(3, layers);
            let (y, m) = reference::conv_norm_stack(x.clone(), all.clone());
            let mut tail = Vec::new();
            let mut parameters = Vec::new();
            let [.., mut channels] = y.dims();
            for filters in [4, 6, 3].into_iter().take(last) {
                let options = ConvOptions { stride: 1, padding: 1 };
                tail.push(Layer { options, ..layer(None, filters, Activation::Tanh) });
                parameters.push((random([filters, channels, 3, 3]), random([filters])));
                channels = filters;
            }
            let output = reference::conv_stack(y, &tail, parameters.clone());
            let target = random(output.dims()).abs().detach();
            let nll = Nll::Gaussian { sigma: 0.8 };
            let expected = reference::nll(output, target.clone(), nll).mean();
            let (value, moments) = ops::conv_norm_stack_nll(
                x.clone(),
                all.clone(),
                &tail,
                parameters.clone(),
                (target, nll),
                Precision::F32,
            );
            let what = format!("nll {activation:?} {} {last}", layers.len());
            // Not of a loss of one, as training has it.
            let fused = (value * 0.3, moments);
            compare_normalised(&what, &x, &all, fused, (expected * 0.3, m));
        }
    }
}

#[test]
fn likelihoods() {
    for shape in [[1, 1, 1, 1], [3, 5, 4, 3], [2, 33, 17, 1]] {
        for nll in [Nll::Bernoulli, Nll::Gaussian { sigma: 0.1 }] {
            // Logits far out, where a careless softplus overflows.
            let output = random(shape).mul_scalar(60.0).detach().require_grad();
            let target = random(shape).abs().detach();
            compare!(
                format!("{nll:?} {shape:?}"),
                [output],
                ops::nll(output.clone(), target.clone(), nll),
                reference::nll(output.clone(), target.clone(), nll)
            );
        }
    }
}

#[test]
fn posterior() {
    let (mean, log_var) = (random([5, 3]), random([5, 3]));
    compare!(
        "kl".to_owned(),
        [mean, log_var],
        ops::kl_per_latent(mean.clone(), log_var.clone()),
        reference::kl_per_latent(mean.clone(), log_var.clone())
    );
    let noise = random([5, 3]).detach();
    compare!(
        "reparameterise".to_owned(),
        [mean, log_var],
        ops::reparameterise(mean.clone(), log_var.clone(), noise.clone()),
        reference::reparameterise(mean.clone(), log_var.clone(), noise.clone())
    );
}

#[test]
fn aggregate_posteriors() {
    use betavae_kernels::MixtureWeights::{Stratified, Weighted};
    for shape in [[1, 1], [2, 3], [17, 10], [64, 10], [130, 4]] {
        for weights in [Weighted { images: 1000 }, Stratified { images: 1000 }] {
            let (z, mean, log_var) = (random(shape), random(shape), random(shape));
            // Each of the two results has its own gradient.
            let scales = Tensor::from_floats([[0.3, -1.7]], &z.device());
            compare!(
                format!("{weights:?} {shape:?}"),
                [z, mean, log_var],
                ops::log_aggregate_posterior(z.clone(), mean.clone(), log_var.clone(), weights)
                    * scales.clone(),
                reference::log_aggregate_posterior(
                    z.clone(),
                    mean.clone(),
                    log_var.clone(),
                    weights
                ) * scales.clone()
            );
        }
    }
}

#[test]
fn adam_and_adagrad() {
    for length in [1, 7, 16, 100_003] {
        let [parameter, gradient, first] = [0; 3].map(|_| random([length]).inner());
        let second = random([length]).inner().abs();
        for step in [1, 1000] {
            let step =
                AdamStep { learning_rate: 1e-2, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, step };
            let all = || (parameter.clone(), gradient.clone(), first.clone(), second.clone());
            let ((a, b, c, d), (e, f, g, h)) = (all(), all());
            let found = ops::adam(a, b, c, d, step);
            let expected = reference::adam(e, f, g, h, step);
            for (found, expected) in found.into_iter().zip(expected) {
                assert_close("adam", &values(found), &values(expected), 1e-6);
            }
        }
        let found = ops::adagrad(parameter.clone(), gradient.clone(), second.clone(), 1e-2, 1e-10);
        let before = values(parameter.clone());
        let expected = reference::adagrad(parameter.clone(), gradient, second, 1e-2, 1e-10);
        for (found, expected) in found.into_iter().zip(expected) {
            assert_close("adagrad", &values(found), &values(expected), 1e-6);
        }
        // Shared tensors are copied, not overwritten.
        assert_eq!(values(parameter), before);
    }
}

#[test]
fn views_are_neither_misread_nor_written_through() {
    let whole = random([10]).inner();
    let before = values(whole.clone());
    let part = whole.clone().slice(2..6);
    let rest = || random([4]).inner();
    let step = AdamStep { learning_rate: 1.0, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, step: 1 };
    let [moved, ..] = ops::adam(part.clone(), rest(), rest(), rest().abs(), step);
    assert_eq!(moved.dims(), [4]);
    assert_eq!(values(whole), before);
    // Transposed inputs are read in their logical order.
    let (x, weight, bias) = (random([6, 3]), random([4, 6]), random([4]));
    let turned = || x.clone().transpose();
    compare!(
        "transposed input".to_owned(),
        [x, weight],
        ops::linear(turned(), weight.clone(), bias.clone(), Activation::Identity, Precision::F32),
        reference::linear(turned(), weight.clone(), bias.clone(), Activation::Identity)
    );
}

#[test]
fn infinities_and_nan_are_found() {
    let good = random([70_000]).inner();
    assert!(ops::all_finite(&[good.clone(), good.clone()]));
    for bad in [f32::NAN, f32::INFINITY] {
        let bad =
            good.clone().slice_assign(s![69_999..70_000], Tensor::full([1], bad, &good.device()));
        assert!(!ops::all_finite(&[good.clone(), bad]));
    }
    // NaN is not swallowed by an activation.
    let x = Tensor::<2>::full([2, 3], f32::NAN, &good.device());
    for activation in ACTIVATIONS {
        let y = ops::linear(
            x.clone(),
            random([4, 3]).inner(),
            random([4]).inner(),
            activation,
            Precision::F32,
        );
        assert!(values(y).iter().all(|y| y.is_nan()), "{activation:?}");
    }
}
