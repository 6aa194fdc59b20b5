//! ONNX files of encoder, decoder and the whole reconstruction, with a batch axis of any length.
//!
//! A graph is written from a model's [`Program`], in which batch norm is already folded into the
//! convolutions: fewer nodes, and the same numbers. Operators are of opset 17 and all in the standard
//! domain: Conv, ConvTranspose, Gemm, Relu, LeakyRelu, Tanh, Sigmoid, Clip, Mul, Add, Reshape, Flatten,
//! Transpose.

use betavae_infer::{Activation, DecoderOutput, Layer, Op, Program};
use betavae_kernels::LEAKY_RELU_SLOPE;
use prost::Message;

use super::proto::{
    Attribute, Dimension, Entry, FLOAT, Graph, INT64, Length, Model, Node, OperatorSet, Shape,
    Tensor, TensorType, Type, ValueInfo,
};
use crate::data::Layout;
use crate::error::{Error, Result};

/// Which part of a model a graph computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnnxGraph {
    /// `image` to `reconstruction` at z = mean, `mean` and `log_var`.
    #[default]
    Reconstruction,
    /// `image` to `mean` and `log_var` [N, D].
    Encoder,
    /// `z` [N, D] to `image`.
    Decoder,
}

/// The file. Images are in [0, 1], [N, C, H, W] or [N, H, W, C] as `layout` says; `metadata` goes into
/// the file's properties.
///
/// # Errors
/// If the program is none, which [`Program::check`] tells.
pub(super) fn onnx(
    program: &Program,
    part: OnnxGraph,
    layout: Layout,
    metadata: &[(&str, &str)],
) -> Result<Vec<u8>> {
    program.check().map_err(|error| Error::config(error.to_string(), ""))?;
    let mut graph = Writer { graph: Graph::default(), layout, count: 0 };
    let image = program.image;
    let (name, about) = match part {
        OnnxGraph::Encoder => {
            graph.image_input("image", image);
            graph.encoder(program)?;
            ("encoder", "image to mean and log_var of the posterior")
        }
        OnnxGraph::Decoder => {
            graph.input("z", &[program.latents]);
            graph.decoder(program, "z", "image");
            ("decoder", "z to image")
        }
        OnnxGraph::Reconstruction => {
            graph.image_input("image", image);
            graph.encoder(program)?;
            graph.decoder(program, "mean", "reconstruction");
            ("reconstruction", "image to its reconstruction at the posterior's mean")
        }
    };
    let axes = match layout {
        Layout::Nchw => "[N, C, H, W]",
        Layout::Nhwc => "[N, H, W, C]",
    };
    graph.graph.name = name.into();
    let entry =
        |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), value: (*value).to_owned() };
    let file = Model {
        ir_version: 8,
        opset_import: vec![OperatorSet { domain: String::new(), version: 17 }],
        producer_name: "betavae".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!("Beta-VAE: {about}. Images are {axes}, from 0 to 1."),
        metadata_props: metadata.iter().map(entry).collect(),
        graph: Some(graph.graph),
    };
    Ok(file.encode_to_vec())
}

struct Writer {
    graph: Graph,
    layout: Layout,
    /// Numbers the names of intermediate values.
    count: usize,
}

impl Writer {
    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{}", self.count)
    }

    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = self.fresh(&op.to_lowercase());
        self.node_to(op, inputs, attributes, &output);
        output
    }

    fn node_to(&mut self, op: &str, inputs: &[&str], attribute: Vec<Attribute>, output: &str) {
        self.graph.node.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{}_{}", op, self.graph.node.len()),
            op_type: op.to_owned(),
            attribute,
        });
    }

    fn floats(&mut self, kind: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(kind, dims, FLOAT, bytes)
    }

    fn constant(
        &mut self,
        kind: &str,
        dims: &[usize],
        data_type: i32,
        raw_data: Vec<u8>,
    ) -> String {
        let name = self.fresh(kind);
        let dims = dims.iter().map(|n| *n as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// A constant of one number.
    fn number(&mut self, value: f32) -> String {
        self.floats("number", &[], &[value])
    }

    fn value(name: &str, rest: &[usize], about: &str) -> ValueInfo {
        let rest = rest.iter().map(|n| Length::Value(*n as i64));
        let lengths = [Length::Parameter("N".into())].into_iter().chain(rest);
        let dim = lengths.map(|length| Dimension { length: Some(length) }).collect();
        let tensor = TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) };
        ValueInfo {
            name: name.to_owned(),
            kind: Some(Type { tensor_type: Some(tensor) }),
            doc_string: about.to_owned(),
        }
    }

    fn input(&mut self, name: &str, rest: &[usize]) {
        self.graph.input.push(Self::value(name, rest, "a point of the latent space"));
    }

    /// Lengths of the axes of an image in the layout of the file.
    fn axes(&self, [height, width, channels]: [usize; 3]) -> [usize; 3] {
        match self.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        }
    }

    fn image_input(&mut self, name: &str, image: [usize; 3]) {
        let axes = self.axes(image);
        self.graph.input.push(Self::value(name, &axes, "from 0 to 1"));
    }

    /// From `image` to `mean` and `log_var`.
    fn encoder(&mut self, program: &Program) -> Result<()> {
        let mut x = "image".to_owned();
        if self.layout == Layout::Nhwc {
            x = self.node("Transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
        }
        if program.signed_input {
            let (two, one) = (self.number(2.0), self.number(-1.0));
            x = self.node("Mul", &[&x, &two], vec![]);
            x = self.node("Add", &[&x, &one], vec![]);
        }
        let Some((Op::Linear { weight, bias, .. }, before)) = program.encoder.split_last() else {
            return Err(Error::config("the encoder does not end in a linear layer", ""));
        };
        x = self.ops(before, x);
        let (latents, features) = (program.latents, weight.len() / bias.len());
        for (i, (name, about)) in [
            ("mean", "means of the posterior"),
            ("log_var", "logarithms of the variances of the posterior"),
        ]
        .into_iter()
        .enumerate()
        {
            let rows = i * latents..(i + 1) * latents;
            let weight = &weight[rows.start * features..rows.end * features];
            let weight = self.floats("weight", &[latents, features], weight);
            let bias = self.floats("bias", &[latents], &bias[rows]);
            self.node_to("Gemm", &[&x, &weight, &bias], vec![int("transB", 1)], name);
            self.graph.output.push(Self::value(name, &[latents], about));
        }
        Ok(())
    }

    fn decoder(&mut self, program: &Program, z: &str, output: &str) {
        let mut x = self.ops(&program.decoder, z.to_owned());
        let (op, more) = match program.output {
            DecoderOutput::Logits => ("Sigmoid", vec![]),
            DecoderOutput::Unit => ("Clip", vec![self.number(0.0), self.number(1.0)]),
            DecoderOutput::Signed => {
                let half = self.number(0.5);
                x = self.node("Mul", &[&x, &half], vec![]);
                ("Add", vec![half])
            }
        };
        let inputs: Vec<&str> = [&x].into_iter().chain(&more).map(String::as_str).collect();
        match self.layout {
            Layout::Nchw => self.node_to(op, &inputs, vec![], output),
            Layout::Nhwc => {
                let x = self.node(op, &inputs, vec![]);
                self.node_to("Transpose", &[&x], vec![ints("perm", &[0, 2, 3, 1])], output);
            }
        }
        let axes = self.axes(program.image);
        let value = Self::value(output, &axes, "from 0 to 1");
        // The picture is what one looks for first.
        self.graph.output.insert(0, value);
    }

    /// To [N, C, H, W].
    fn reshape(&mut self, x: &str, [channels, height, width]: [usize; 3]) -> String {
        let lengths = [-1, channels as i64, height as i64, width as i64];
        let bytes = lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
        let shape = self.constant("shape", &[4], INT64, bytes);
        self.node("Reshape", &[x, &shape], vec![])
    }

    fn ops(&mut self, ops: &[Op], mut x: String) -> String {
        for op in ops {
            x = match op {
                Op::ConvStack { input_shape, layers, parameters } => {
                    let mut channels = input_shape[2];
                    for (layer, (weight, bias)) in layers.iter().zip(parameters) {
                        x = self.conv(&x, *layer, channels, weight, bias);
                        channels = layer.filters;
                    }
                    x
                }
                Op::Linear { weight, bias, activation } => {
                    let features = weight.len() / bias.len();
                    let weight = self.floats("weight", &[bias.len(), features], weight);
                    let bias = self.floats("bias", &[bias.len()], bias);
                    let x = self.node("Gemm", &[&x, &weight, &bias], vec![int("transB", 1)]);
                    self.activation(x, *activation)
                }
                // Maps are [N, C, H, W] here.
                Op::ChannelsFirst(_) => self.node("Flatten", &[&x], vec![int("axis", 1)]),
                Op::ChannelsLast([height, width, channels]) => {
                    self.reshape(&x, [*channels, *height, *width])
                }
            };
        }
        x
    }

    fn conv(
        &mut self,
        x: &str,
        layer: Layer,
        inputs: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> String {
        let Layer { transposed, filters, kernel, options, activation } = layer;
        let channels = if transposed.is_some() { [inputs, filters] } else { [filters, inputs] };
        let dims = [channels[0], channels[1], kernel, kernel];
        let weight = self.floats("weight", &dims, weight);
        let bias = self.floats("bias", &[filters], bias);
        let mut attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[options.stride; 2]),
            ints("pads", &[options.padding; 4]),
        ];
        let op = match transposed {
            None => "Conv",
            Some(more) => {
                attributes.push(ints("output_padding", &more));
                "ConvTranspose"
            }
        };
        let x = self.node(op, &[x, &weight, &bias], attributes);
        self.activation(x, activation)
    }

    fn leaky_relu(&mut self, x: String, slope: f32) -> String {
        let name = "alpha".into();
        let alpha = Attribute { name, f: slope, kind: 1, ..Attribute::default() };
        self.node("LeakyRelu", &[&x], vec![alpha])
    }

    fn activation(&mut self, x: String, activation: Activation) -> String {
        match activation {
            Activation::Identity => x,
            Activation::Relu => self.node("Relu", &[&x], vec![]),
            Activation::LeakyRelu => self.leaky_relu(x, LEAKY_RELU_SLOPE),
            Activation::LeakyRelu02 => self.leaky_relu(x, 0.2),
            Activation::Tanh => self.node("Tanh", &[&x], vec![]),
        }
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i, kind: 2, ..Attribute::default() }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|n| *n as i64).collect();
    Attribute { name: name.to_owned(), ints, kind: 7, ..Attribute::default() }
}

#[cfg(test)]
mod tests;
