//! A convolution or a transposed convolution of whole maps, prepared for its shapes and an instruction
//! set: which products [`indirect_gemm`] computes, and the packing of weights for it. Gradients of
//! weights are in `weight_gradient`.

use rayon::prelude::*;

use crate::bf16::{self, Precision};
use crate::buffer::Buffer;
use crate::elementwise;
use crate::epilogue::Epilogue;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::indirect_gemm::{IndirectGemm, Positions, TermLoops, indirect_gemm};
use crate::narrow_conv::{MAX_NARROW_CHANNELS, NarrowConv, narrow_conv};
use crate::simd::SimdLevel;
use crate::winograd::{self, Winograd};

/// Which of the two operators over the maps of a [`ConvShape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConvOp {
    /// The convolution, which gathers from the large map to the small one.
    Conv,
    /// The transposed convolution, which scatters from the small map to the large one.
    ConvTranspose,
}

/// A convolution or transposed convolution, prepared for two layouts and an instruction set.
#[derive(Debug)]
pub(crate) struct PreparedConv {
    level: SimdLevel,
    conv: ConvShape,
    op: ConvOp,
    input: PaddedLayout,
    output: PaddedLayout,
    method: Method,
    /// Whether inputs and weights are multiplied as pairs of bf16.
    bf16_pairs: bool,
}

#[derive(Debug)]
enum Method {
    /// Products over the phases of the output.
    Direct(Vec<Phase>),
    /// For few output channels, over the same phases.
    Narrow(Vec<Phase>),
    /// For 4x4 kernels of stride 2, with fewer multiplications.
    Winograd(Winograd),
}

/// The output pixels that are sums over the same taps. A convolution has one phase, a transposed
/// convolution stride^2, one for each remainder of the coordinates by the stride.
#[derive(Debug)]
struct Phase {
    positions: Positions,
    /// The rows and columns of the taps, in the order of the input's rows and columns.
    rows: Vec<usize>,
    columns: Vec<usize>,
}

/// Buffers that are used again from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) bf16_pairs: [Vec<f32>; 2],
    pub(crate) winograd: winograd::Scratch,
}

impl Phase {
    fn taps(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// The indices of the taps in a kernel of this size.
    fn tap_indices(&self, kernel: usize) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().flat_map(move |ky| self.columns.iter().map(move |kx| ky * kernel + kx))
    }

    /// The same phase over pairs of floats of the input; `None` where the floats under a row of taps do
    /// not begin and end with a pair.
    fn over_pairs(self, input: PaddedLayout) -> Option<Self> {
        let even = |n: usize| n.is_multiple_of(2);
        let row = self.columns.len() * input.shape[2];
        let fits = even(row) && even(input.row_stride()) && even(input.len());
        let all = 0..self.positions.len();
        (fits && self.positions.range(all.clone()).all(|[x, _]| even(x))).then(|| Phase {
            positions: self.positions.range(all).map(|[x, out]| [x / 2, out]).collect(),
            rows: self.rows,
            columns: self.columns,
        })
    }
}

impl PreparedConv {
    /// `output` may be any layout of the output map. `input` needs the border of
    /// [`ConvShape::large_layout`], or for a transposed convolution of [`ConvShape::small_layout`].
    pub(crate) fn new(
        level: SimdLevel,
        precision: Precision,
        conv: ConvShape,
        op: ConvOp,
        input: PaddedLayout,
        output: PaddedLayout,
    ) -> Self {
        let phases = |input: PaddedLayout| match op {
            ConvOp::Conv => vec![conv_phase(conv, input, output)],
            ConvOp::ConvTranspose => conv_transpose_phases(conv, input, output),
        };
        let winograd = winograd::is_applicable(precision, &conv);
        if precision == Precision::Bf16 && output.shape[2] > MAX_NARROW_CHANNELS && !winograd {
            let phases: Option<Vec<_>> =
                phases(input).into_iter().map(|phase| phase.over_pairs(input)).collect();
            if let Some(phases) = phases {
                let method = Method::Direct(phases);
                return Self { level, conv, op, input, output, method, bf16_pairs: true };
            }
        }
        let method = if winograd {
            Method::Winograd(Winograd::new(level, precision, conv, op, input, output))
        } else if output.shape[2] <= MAX_NARROW_CHANNELS {
            Method::Narrow(phases(input))
        } else {
            Method::Direct(phases(input))
        };
        Self { level, conv, op, input, output, method, bf16_pairs: false }
    }

    /// Input and output channels.
    fn channels(&self) -> [usize; 2] {
        [self.input.shape[2], self.output.shape[2]]
    }

    /// Packs the weights, which are in PyTorch's layout, in the order in which they are read.
    pub(crate) fn pack(&self, weight: &[f32]) -> Buffer {
        let [inputs, outputs] = self.channels();
        let (panel, kernel) = (self.level.panel(), self.conv.kernel);
        // The strides of channels in PyTorch's layout.
        let taps = kernel * kernel;
        let [input_stride, output_stride] = match self.op {
            ConvOp::Conv => [taps, self.conv.large[2] * taps],
            ConvOp::ConvTranspose => [self.conv.large[2] * taps, taps],
        };
        match &self.method {
            Method::Winograd(winograd) => winograd.pack(weight),
            Method::Direct(phases) => {
                let per_float = if self.bf16_pairs { 2 } else { 1 };
                let panels = outputs.div_ceil(panel);
                let length = |phase: &Phase| phase.taps() * inputs * panel / per_float;
                let total: usize = phases.iter().map(|phase| panels * length(phase)).sum();
                let mut packed = Buffer::new(total);
                let mut tasks = Vec::new();
                let mut rest = &mut *packed;
                for phase in phases {
                    for first in (0..outputs).step_by(panel) {
                        let (to, after) = rest.split_at_mut(length(phase));
                        tasks.push((phase, first, to));
                        rest = after;
                    }
                }
                tasks.into_par_iter().for_each(|(phase, first, to)| {
                    let lanes = panel.min(outputs - first);
                    let weight = &weight[first * output_stride..];
                    // The order of reading is that of the weights, so that each cache line is read once.
                    let fill = |to: &mut [f32]| {
                        for input in 0..inputs {
                            for (i, tap) in phase.tap_indices(kernel).enumerate() {
                                let to = &mut to[(i * inputs + input) * panel..][..panel];
                                let (used, rest) = to.split_at_mut(lanes);
                                let from = &weight[input * input_stride + tap..];
                                let from = from.iter().step_by(output_stride);
                                used.iter_mut().zip(from).for_each(|(to, weight)| *to = *weight);
                                rest.fill(0.0);
                            }
                        }
                    };
                    if !self.bf16_pairs {
                        return fill(to);
                    }
                    let mut rows = Buffer::new(2 * to.len());
                    fill(&mut rows);
                    bf16::pack_rows(self.level, panel, &rows, to);
                });
                packed
            }
            Method::Narrow(phases) => {
                // [phase, output, tap, input]
                let mut packed =
                    Buffer::new(phases.iter().map(Phase::taps).sum::<usize>() * inputs * outputs);
                let mut rest = packed.iter_mut();
                for phase in phases {
                    for output in 0..outputs {
                        for tap in phase.tap_indices(kernel) {
                            let weight = &weight[output * output_stride + tap..];
                            let from = weight.iter().step_by(input_stride).take(inputs);
                            from.zip(&mut rest).for_each(|(from, to)| *to = *from);
                        }
                    }
                }
                packed
            }
        }
    }

    /// Computes the output maps of `images` input maps; `from` and `to` hold them one after the other.
    pub(crate) fn run(
        &self,
        images: usize,
        packed: &[f32],
        from: &[f32],
        to: &mut [f32],
        epilogue: Epilogue<'_>,
        scratch: &mut Scratch,
    ) {
        let [inputs, outputs] = self.channels();
        let panel = self.level.panel();
        let strides = [self.input.len(), self.output.len()];
        match &self.method {
            Method::Direct(phases) => {
                let mut packed = packed;
                // With pairs, all offsets in the input are half of what they are in floats.
                let per_float = if self.bf16_pairs { 2 } else { 1 };
                let from = if self.bf16_pairs {
                    let words = images * strides[0] / 2;
                    let buffer = &mut scratch.bf16_pairs[0];
                    if buffer.len() < words {
                        buffer.resize(words, 0.0);
                    }
                    bf16::pack_neighbours(self.level, &from[..2 * words], &mut buffer[..words]);
                    &buffer[..words]
                } else {
                    from
                };
                for phase in phases {
                    let rows = phase.rows.len();
                    let row_terms = phase.columns.len() * inputs / per_float;
                    let gemm = IndirectGemm {
                        x: from,
                        w: packed,
                        positions: &phase.positions,
                        images,
                        image_stride: [strides[0] / per_float, strides[1]],
                        terms: TermLoops {
                            count: [1, rows, row_terms],
                            x: [0, self.input.row_stride() / per_float, 1],
                            w: [0, row_terms * panel, panel],
                        },
                        n: outputs,
                        panel_stride: [rows * row_terms * panel, panel],
                        epilogue,
                        products: 1,
                        product_stride: [0; 3],
                        bf16_pairs: self.bf16_pairs,
                    };
                    indirect_gemm(self.level, &gemm, to);
                    packed = &packed[outputs.div_ceil(panel) * rows * row_terms * panel..];
                }
            }
            Method::Winograd(winograd) => {
                winograd.run(images, packed, from, to, epilogue, &mut scratch.winograd);
            }
            Method::Narrow(phases) => {
                let from = from.chunks(strides[0]);
                for (image, (from, to)) in
                    from.zip(to.chunks_mut(strides[1])).take(images).enumerate()
                {
                    let mut packed = packed;
                    for phase in phases {
                        let (rows, row_len) = (phase.rows.len(), phase.columns.len() * inputs);
                        let conv = NarrowConv {
                            x: from,
                            w: packed,
                            positions: &phase.positions,
                            rows,
                            row_len,
                            row_stride: self.input.row_stride(),
                            channels: outputs,
                            epilogue,
                            to,
                        };
                        narrow_conv(self.level, conv);
                        packed = &packed[outputs * rows * row_len..];
                    }
                    for row in self.output.rows() {
                        let start = image * strides[1] + row.start;
                        elementwise::apply_epilogue(self.level, &mut to[row], epilogue, start);
                    }
                }
            }
        }
    }
}

/// The only phase of a convolution: every small pixel is a sum over all taps.
fn conv_phase(conv: ConvShape, input: PaddedLayout, output: PaddedLayout) -> Phase {
    let first = |at: usize| (at * conv.options.stride) as isize - conv.options.padding as isize;
    let pixels = (0..output.shape[0]).flat_map(|y| (0..output.shape[1]).map(move |x| (y, x)));
    Phase {
        positions: pixels
            .map(|(y, x)| [input.offset(first(y), first(x)), output.offset(y as isize, x as isize)])
            .collect(),
        rows: (0..conv.kernel).collect(),
        columns: (0..conv.kernel).collect(),
    }
}

/// The phases of a transposed convolution: large pixels whose coordinates have the same remainders by
/// the stride are sums over the same taps.
fn conv_transpose_phases(conv: ConvShape, input: PaddedLayout, output: PaddedLayout) -> Vec<Phase> {
    let stride = conv.options.stride;
    let mut phases = Vec::new();
    for first_y in 0..stride.min(output.shape[0]) {
        for first_x in 0..stride.min(output.shape[1]) {
            let ys = (first_y..output.shape[0]).step_by(stride);
            let pixels =
                ys.flat_map(|y| (first_x..output.shape[1]).step_by(stride).map(move |x| (y, x)));
            let (rows, columns) = (conv.taps(first_y), conv.taps(first_x));
            let no_taps = rows.is_empty() || columns.is_empty();
            phases.push(Phase {
                positions: pixels
                    .map(|(y, x)| {
                        let from = [conv.first_small_index(y), conv.first_small_index(x)];
                        let from = if no_taps { 0 } else { input.offset(from[0], from[1]) };
                        [from, output.offset(y as isize, x as isize)]
                    })
                    .collect(),
                rows,
                columns,
            });
        }
    }
    phases
}
