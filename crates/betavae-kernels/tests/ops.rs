//! The fused operators against their readable twins, value and gradients, through Burn's tape. They
//! run on the instruction set in force; `BETAVAE_SIMD` chooses another.

use std::cell::Cell;

use betavae_kernels::{Activation, AdamStep, Layer, Nll, Precision, Window, ops, reference};
use burn::tensor::s;
use burn::tensor::{Device, Tensor, TensorData};

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::LeakyRelu, Activation::Tanh];

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
    ($what:expr, [$($input:ident),+], $fused:expr, $twin:expr) => {{
        let (fused, twin) = ($fused, $twin);
        let what = $what;
        assert_close(&what, &values(fused.clone().inner()), &values(twin.clone().inner()), 2e-5);
        let upstream = random(fused.dims()).detach();
        let found = (fused * upstream.clone()).sum().backward();
        let expected = (twin * upstream).sum().backward();
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
                ops::linear(a, b, c, activation),
                reference::linear(d, e, f, activation)
            );
        }
    }
}

#[test]
fn convolutions() {
    let layer = |transposed, filters, activation| Layer {
        transposed,
        filters,
        kernel: 4,
        window: Window { stride: 2, padding: 1 },
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
    let twin = reference::conv_stack(x.clone(), &layers, parameters.clone());
    compare!(
        "stack".to_owned(),
        [x, first, last, bias],
        ops::conv_stack(x.clone(), &layers, parameters.clone(), Precision::F32),
        twin.clone()
    );
    let target = random(twin.dims()).abs().detach();
    for nll in [Nll::Bernoulli, Nll::Gaussian { sigma: 0.3 }] {
        let (x, parameters, t) = (x.clone(), parameters.clone(), target.clone());
        let twin = reference::conv_stack(x.clone(), &layers, parameters.clone());
        compare!(
            format!("stack with {nll:?}"),
            [x, first, last, bias],
            ops::conv_stack_nll(x.clone(), &layers, parameters, t.clone(), nll, Precision::F32),
            reference::nll(twin, t, nll).mean()
        );
    }
}

#[test]
fn batch_normalisation() {
    for shape in [[2, 1, 1, 1], [3, 5, 4, 7], [64, 2, 2, 65], [9, 16, 16, 32]] {
        for activation in ACTIVATIONS {
            let channels = shape[3];
            // Far from zero, where a careless variance loses its digits.
            let x = (random(shape) + 30.0).detach().require_grad();
            let (weight, bias) = (random([channels]), random([channels]));
            let (found, mean, variance) =
                ops::batch_norm_train(x.clone(), weight.clone(), bias.clone(), activation);
            let (expected, m, v) =
                reference::batch_norm_train(x.clone(), weight.clone(), bias.clone(), activation);
            let what = format!("batch norm {shape:?} {activation:?}");
            assert_close(&what, &values(mean), &values(m.inner()), 1e-6);
            assert_close(&what, &values(variance), &values(v.inner()), 1e-4);
            assert_close(
                &what,
                &values(found.clone().inner()),
                &values(expected.clone().inner()),
                1e-4,
            );
            let upstream = random(shape).detach();
            let a = (found * upstream.clone()).sum().backward();
            let b = (expected * upstream).sum().backward();
            for (name, a, b) in [
                ("weight", weight.grad(&a), weight.grad(&b)),
                ("bias", bias.grad(&a), bias.grad(&b)),
            ] {
                let what = format!("{what}, gradient of {name}");
                assert_close(&what, &values(a.unwrap()), &values(b.unwrap()), 2e-4);
            }
            // With two values per channel the gradient of x is all cancellation.
            if shape[0] > 2 {
                let (a, b) = (x.grad(&a).unwrap(), x.grad(&b).unwrap());
                assert_close(&format!("{what}, gradient of x"), &values(a), &values(b), 5e-4);
            }
        }
    }
}

#[test]
fn normalisation_with_given_statistics() {
    let x = random([3, 5, 4, 7]).inner();
    let [weight, bias, mean] = [0; 3].map(|_| random([7]).inner());
    let variance = random([7]).inner().abs() + 0.1;
    for activation in ACTIVATIONS {
        let all = || (x.clone(), weight.clone(), bias.clone(), mean.clone(), variance.clone());
        let ((a, b, c, d, e), (f, g, h, i, j)) = (all(), all());
        let found = ops::batch_norm_eval(a, b, c, d, e, activation);
        let expected = reference::batch_norm_eval(f, g, h, i, j, activation);
        assert_close("batch norm in use", &values(found), &values(expected), 1e-5);
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
fn optimisers() {
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
        ops::linear(turned(), weight.clone(), bias.clone(), Activation::Identity),
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
        let y = ops::linear(x.clone(), random([4, 3]).inner(), random([4]).inner(), activation);
        assert!(values(y).iter().all(|y| y.is_nan()), "{activation:?}");
    }
}
