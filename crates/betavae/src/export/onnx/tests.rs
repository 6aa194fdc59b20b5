//! Graphs are run by a plain interpreter of ONNX's definitions and compared with the model.

use std::collections::HashMap;

use super::*;
use crate::data::ImageShape;
use crate::model::{Architecture, BetaVae, Likelihood, ModelConfig, Network, Norm, values};
use crate::random::Stream;
use crate::{Device, Tensor as BurnTensor, TensorData};

type Array = (Vec<usize>, Vec<f64>);

fn attribute<'a>(node: &'a Node, name: &str) -> &'a Attribute {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap()
}

fn list(node: &Node, name: &str) -> Vec<usize> {
    attribute(node, name).ints.iter().map(|n| *n as usize).collect()
}

fn map((shape, values): &Array, f: impl Fn(f64) -> f64) -> Array {
    (shape.clone(), values.iter().map(|x| f(*x)).collect())
}

fn transpose((shape, values): &Array, perm: &[usize]) -> Array {
    let strides = |shape: &[usize]| -> Vec<usize> {
        (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect()
    };
    let to: Vec<usize> = perm.iter().map(|axis| shape[*axis]).collect();
    let (from_strides, to_strides) = (strides(shape), strides(&to));
    let value = |i: usize| {
        let place = |axis: usize| (i / to_strides[axis] % to[axis]) * from_strides[perm[axis]];
        values[(0..to.len()).map(place).sum::<usize>()]
    };
    (to.clone(), (0..values.len()).map(value).collect())
}

/// Every pair of a small and a large pixel that a kernel connects: Conv sums over the large ones,
/// ConvTranspose over the small ones.
fn convolve(node: &Node, x: &Array, w: &Array, b: &Array) -> Array {
    let transposed = node.op_type == "ConvTranspose";
    let (kernel, stride, pads) =
        (list(node, "kernel_shape"), list(node, "strides"), list(node, "pads"));
    let [n, _, h, width] = x.0[..] else { panic!("{:?}", x.0) };
    let side = |i: usize, from: usize| match transposed {
        false => (from + 2 * pads[i] - kernel[i]) / stride[i] + 1,
        true => (from - 1) * stride[i] + kernel[i] + list(node, "output_padding")[i] - 2 * pads[i],
    };
    let (to_h, to_w) = (side(0, h), side(1, width));
    let outputs = if transposed { w.0[1] } else { w.0[0] };
    let inputs = x.0[1];
    let mut y = vec![0.0; n * outputs * to_h * to_w];
    let at = |shape: [usize; 4], i: [usize; 4]| {
        (0..4).fold(0, |place, axis| place * shape[axis] + i[axis])
    };
    for image in 0..n {
        for output in 0..outputs {
            for row in 0..to_h {
                for column in 0..to_w {
                    y[at([n, outputs, to_h, to_w], [image, output, row, column])] = b.1[output];
                }
            }
            for input in 0..inputs {
                let (small_h, small_w) = if transposed { (h, width) } else { (to_h, to_w) };
                for (row, column) in (0..small_h).flat_map(|r| (0..small_w).map(move |c| (r, c))) {
                    for (ky, kx) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x)))
                    {
                        let large = [
                            (row * stride[0] + ky).wrapping_sub(pads[0]),
                            (column * stride[1] + kx).wrapping_sub(pads[1]),
                        ];
                        let bounds = if transposed { [to_h, to_w] } else { [h, width] };
                        if large[0] >= bounds[0] || large[1] >= bounds[1] {
                            continue;
                        }
                        let (to, from) = match transposed {
                            false => ([row, column], large),
                            true => (large, [row, column]),
                        };
                        let channels = if transposed { [input, output] } else { [output, input] };
                        let shape = [w.0[0], w.0[1], kernel[0], kernel[1]];
                        let weight = w.1[at(shape, [channels[0], channels[1], ky, kx])];
                        y[at([n, outputs, to_h, to_w], [image, output, to[0], to[1]])] += weight
                            * x.1[at([n, inputs, h, width], [image, input, from[0], from[1]])];
                    }
                }
            }
        }
    }
    (vec![n, outputs, to_h, to_w], y)
}

fn gemm(x: &Array, w: &Array, b: &Array) -> Array {
    let (inputs, outputs) = (w.0[1], w.0[0]);
    let row = |x: &[f64]| -> Vec<f64> {
        let dot = |w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        w.1.chunks(inputs).zip(&b.1).map(|(w, b)| dot(w) + b).collect()
    };
    (vec![x.0[0], outputs], x.1.chunks(inputs).flat_map(row).collect())
}

/// All values of a graph by name.
fn run(file: &[u8], input: (&str, Array)) -> HashMap<String, Array> {
    let graph = Model::decode(file).unwrap().graph.unwrap();
    let mut known = HashMap::from([(input.0.to_owned(), input.1)]);
    for tensor in &graph.initializer {
        let dims = tensor.dims.iter().map(|n| *n as usize).collect();
        let values = match tensor.data_type {
            FLOAT => {
                let floats = tensor.raw_data.as_chunks::<4>().0.iter();
                floats.map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
            }
            _ => {
                let integers = tensor.raw_data.as_chunks::<8>().0.iter();
                integers.map(|bytes| i64::from_le_bytes(*bytes) as f64).collect()
            }
        };
        known.insert(tensor.name.clone(), (dims, values));
    }
    for node in &graph.node {
        let inputs: Vec<&Array> = node.input.iter().map(|name| &known[name]).collect();
        let x = inputs[0];
        let result = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" => convolve(node, x, inputs[1], inputs[2]),
            "Gemm" => gemm(x, inputs[1], inputs[2]),
            "Relu" => map(x, |x| x.max(0.0)),
            "LeakyRelu" => {
                let alpha = f64::from(attribute(node, "alpha").f);
                map(x, |x| if x < 0.0 { alpha * x } else { x })
            }
            "Tanh" => map(x, f64::tanh),
            "Sigmoid" => map(x, |x| 1.0 / (1.0 + (-x).exp())),
            "Clip" => map(x, |x| x.clamp(inputs[1].1[0], inputs[2].1[0])),
            "Mul" => map(x, |x| x * inputs[1].1[0]),
            "Add" => map(x, |x| x + inputs[1].1[0]),
            "Flatten" => (vec![x.0[0], x.0[1..].iter().product()], x.1.clone()),
            "Reshape" => {
                let rest: Vec<usize> = inputs[1].1[1..].iter().map(|n| *n as usize).collect();
                let first = x.1.len() / rest.iter().product::<usize>();
                ([vec![first], rest].concat(), x.1.clone())
            }
            "Transpose" => transpose(x, &list(node, "perm")),
            other => panic!("{other}"),
        };
        known.insert(node.output[0].clone(), result);
    }
    for output in &graph.output {
        let shape = output.kind.clone().unwrap().tensor_type.unwrap().shape.unwrap().dim;
        let announced = shape[1..].iter().map(|dim| match dim.length {
            Some(Length::Value(n)) => n as usize,
            _ => panic!("{dim:?}"),
        });
        assert_eq!(known[&output.name].0[1..], announced.collect::<Vec<_>>(), "{}", output.name);
    }
    known
}

fn close(found: &Array, expected: Vec<f32>) {
    assert_eq!(found.1.len(), expected.len());
    let worst = found.1.iter().zip(&expected).map(|(a, b)| (a - f64::from(*b)).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn graphs_compute_what_models_compute() {
    let device = Device::flex();
    let preset = |architecture| ModelConfig { architecture, latents: 3, ..ModelConfig::default() };
    let custom = ModelConfig {
        widths: Some(vec![3, 4]),
        kernel: Some(3),
        activation: Some(crate::Activation::LeakyRelu),
        norm: Some(Norm::Batch),
        hidden: Some(vec![7]),
        ..preset(Architecture::Custom)
    };
    let narrow = ModelConfig { widths: Some(vec![3, 5]), ..preset(Architecture::PytorchVae) };
    let gaussian = Likelihood::Gaussian { sigma: 1.0 };
    for (config, image, likelihood) in [
        (preset(Architecture::Burgess), [8, 11, 1], Likelihood::Bernoulli),
        (preset(Architecture::HigginsFc), [6, 5, 2], Likelihood::Bernoulli),
        (preset(Architecture::HigginsConv), [16, 17, 3], gaussian),
        (preset(Architecture::Locatello), [16, 16, 3], gaussian),
        (narrow, [13, 9, 3], gaussian),
        (custom, [7, 12, 2], Likelihood::Bernoulli),
    ] {
        let [height, width, channels] = image;
        let model = BetaVae::new(
            Network::new(&config, ImageShape::from(image)).unwrap(),
            likelihood,
            3,
            &device,
        )
        .unwrap();
        let program = model.to_program();
        let images = model.sample(2, 5);
        let posterior = model.encode(images.clone());
        let reconstruction = model.reconstruct(images.clone());
        let [mean, log_var] = [posterior.mean, posterior.log_var].map(values);
        let nhwc: Array = (
            vec![2, height, width, channels],
            values(images).iter().map(|x| f64::from(*x)).collect(),
        );
        let nchw = transpose(&nhwc, &[0, 3, 1, 2]);
        let file = |part, layout| onnx(&program, part, layout, &[("a", "b")]).unwrap();
        let found = run(&file(OnnxGraph::Reconstruction, Layout::Nchw), ("image", nchw));
        close(&found["mean"], mean.clone());
        close(&found["log_var"], log_var.clone());
        close(&transpose(&found["reconstruction"], &[0, 2, 3, 1]), values(reconstruction.clone()));
        let found = run(&file(OnnxGraph::Reconstruction, Layout::Nhwc), ("image", nhwc.clone()));
        close(&found["reconstruction"], values(reconstruction));
        let found = run(&file(OnnxGraph::Encoder, Layout::Nhwc), ("image", nhwc));
        close(&found["log_var"], log_var);

        let z = Stream::new(1, "z", 0).normals(2 * 3);
        let expected =
            model.decode(BurnTensor::from_data(TensorData::new(z.clone(), [2, 3]), &device));
        let z = (vec![2, 3], z.iter().map(|z| f64::from(*z)).collect());
        let found = run(&file(OnnxGraph::Decoder, Layout::Nhwc), ("z", z));
        close(&found["image"], values(expected));
    }
}
