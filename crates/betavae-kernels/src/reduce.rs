//! The way down or up through a [`Conv`], for a whole map: sums over what each output pixel sees.

use rayon::prelude::*;

use crate::bf16::{self, Precision};
use crate::buffer::Buffer;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::elementwise;
use crate::geometry::{Conv, Layout};
use crate::narrow::{NARROW, Narrow, narrow};
use crate::simd::Level;
use crate::winograd::{self, Winograd};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the large map to the small one.
    Down,
    /// From the small map to the large one.
    Up,
}

/// A convolution's sum in one direction, prepared for two layouts and an instruction set.
#[derive(Debug)]
pub(crate) struct Reduction {
    level: Level,
    conv: Conv,
    way: Way,
    input: Layout,
    output: Layout,
    method: Method,
    /// Inputs and weights are multiplied as pairs of bf16.
    pairs: bool,
}

#[derive(Debug)]
enum Method {
    /// Sums in registers over all that a pixel sees. All output pixels that see through the same
    /// taps form a pass: one on the way down, stride^2 on the way up.
    Direct(Vec<Pass>),
    /// For few output channels, over the same passes.
    Narrow(Vec<Pass>),
    /// 9 multiplications in place of 16, for 4x4 kernels of stride 2.
    Winograd(Winograd),
}

#[derive(Debug)]
struct Pass {
    positions: Positions,
    /// Taps in the order of input pixels: rows, then columns.
    rows: Vec<usize>,
    columns: Vec<usize>,
}

/// Buffers that calls reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) pairs: [Vec<f32>; 2],
    pub(crate) winograd: winograd::Scratch,
}

impl Pass {
    fn taps(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Places of the taps in a kernel of this size.
    fn each_tap(&self, kernel: usize) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().flat_map(move |ky| self.columns.iter().map(move |kx| ky * kernel + kx))
    }

    /// The same over pairs of floats; `None` where pairs would straddle the reach of two pixels.
    fn halved(self, input: Layout) -> Option<Self> {
        let even = |n: usize| n.is_multiple_of(2);
        let run = self.columns.len() * input.shape[2];
        let fits = even(run) && even(input.row()) && even(input.len());
        let all = 0..self.positions.len();
        (fits && self.positions.range(all.clone()).all(|[x, _]| even(x))).then(|| Pass {
            positions: self.positions.range(all).map(|[x, out]| [x / 2, out]).collect(),
            rows: self.rows,
            columns: self.columns,
        })
    }
}

impl Reduction {
    /// `output` may be any layout of the output map; `input` needs the border of
    /// [`Conv::large_layout`] (down) or [`Conv::small_layout`] (up).
    pub(crate) fn new(
        level: Level,
        precision: Precision,
        conv: Conv,
        way: Way,
        input: Layout,
        output: Layout,
    ) -> Self {
        let passes = |input: Layout| match way {
            Way::Down => vec![down(conv, input, output)],
            Way::Up => up(conv, input, output),
        };
        let winograd = winograd::suits(precision, &conv);
        if precision == Precision::Bf16 && output.shape[2] > NARROW && !winograd {
            let passes: Option<Vec<_>> =
                passes(input).into_iter().map(|pass| pass.halved(input)).collect();
            if let Some(passes) = passes {
                let method = Method::Direct(passes);
                return Self { level, conv, way, input, output, method, pairs: true };
            }
        }
        let method = if winograd {
            Method::Winograd(Winograd::new(level, precision, conv, way, input, output))
        } else if output.shape[2] <= NARROW {
            Method::Narrow(passes(input))
        } else {
            Method::Direct(passes(input))
        };
        Self { level, conv, way, input, output, method, pairs: false }
    }

    fn channels(&self) -> [usize; 2] {
        [self.input.shape[2], self.output.shape[2]]
    }

    /// Weights in the order in which the inner loop reads them.
    pub(crate) fn pack(&self, weight: &[f32]) -> Buffer {
        let [inputs, outputs] = self.channels();
        let (panel, kernel) = (self.level.panel(), self.conv.kernel);
        // Distances in PyTorch's layout.
        let taps = kernel * kernel;
        let [by_input, by_output] = match self.way {
            Way::Down => [taps, self.conv.large[2] * taps],
            Way::Up => [self.conv.large[2] * taps, taps],
        };
        match &self.method {
            Method::Winograd(winograd) => winograd.pack(weight),
            Method::Direct(passes) => {
                let half = if self.pairs { 2 } else { 1 };
                let panels = outputs.div_ceil(panel);
                let length = |pass: &Pass| pass.taps() * inputs * panel / half;
                let total: usize = passes.iter().map(|pass| panels * length(pass)).sum();
                let mut packed = Buffer::new(total);
                let mut tasks = Vec::new();
                let mut rest = &mut *packed;
                for pass in passes {
                    for first in (0..outputs).step_by(panel) {
                        let (to, after) = rest.split_at_mut(length(pass));
                        tasks.push((pass, first, to));
                        rest = after;
                    }
                }
                tasks.into_par_iter().for_each(|(pass, first, to)| {
                    let lanes = panel.min(outputs - first);
                    let weight = &weight[first * by_output..];
                    // In the order of the weights, so that each line of the cache is read once.
                    let fill = |to: &mut [f32]| {
                        for input in 0..inputs {
                            for (i, tap) in pass.each_tap(kernel).enumerate() {
                                let to = &mut to[(i * inputs + input) * panel..][..panel];
                                let (used, rest) = to.split_at_mut(lanes);
                                let from = &weight[input * by_input + tap..];
                                let from = from.iter().step_by(by_output);
                                used.iter_mut().zip(from).for_each(|(to, weight)| *to = *weight);
                                rest.fill(0.0);
                            }
                        }
                    };
                    if !self.pairs {
                        return fill(to);
                    }
                    let mut steps = Buffer::new(2 * to.len());
                    fill(&mut steps);
                    bf16::pack_steps(self.level, panel, &steps, to);
                });
                packed
            }
            Method::Narrow(passes) => {
                // [pass, output, tap, input]
                let mut packed =
                    Buffer::new(passes.iter().map(Pass::taps).sum::<usize>() * inputs * outputs);
                let mut rest = packed.iter_mut();
                for pass in passes {
                    for output in 0..outputs {
                        for tap in pass.each_tap(kernel) {
                            let weight = &weight[output * by_output + tap..];
                            let from = weight.iter().step_by(by_input).take(inputs);
                            from.zip(&mut rest).for_each(|(from, to)| *to = *from);
                        }
                    }
                }
                packed
            }
        }
    }

    /// Sums for `samples` maps; `from` and `to` hold them one after the other.
    pub(crate) fn run(
        &self,
        samples: usize,
        packed: &[f32],
        from: &[f32],
        to: &mut [f32],
        finish: Finish<'_>,
        scratch: &mut Scratch,
    ) {
        let [inputs, outputs] = self.channels();
        let panel = self.level.panel();
        let strides = [self.input.len(), self.output.len()];
        match &self.method {
            Method::Direct(passes) => {
                let mut packed = packed;
                // In pairs, all offsets on the side of the input are half of what they were.
                let half = if self.pairs { 2 } else { 1 };
                let from = if self.pairs {
                    let words = samples * strides[0] / 2;
                    let buffer = &mut scratch.pairs[0];
                    if buffer.len() < words {
                        buffer.resize(words, 0.0);
                    }
                    bf16::pack_neighbours(self.level, &from[..2 * words], &mut buffer[..words]);
                    &buffer[..words]
                } else {
                    from
                };
                for pass in passes {
                    let (rows, run) = (pass.rows.len(), pass.columns.len() * inputs / half);
                    let job = Contract {
                        x: from,
                        w: packed,
                        positions: &pass.positions,
                        samples,
                        sample_stride: [strides[0] / half, strides[1]],
                        steps: Steps {
                            count: [1, rows, run],
                            x: [0, self.input.row() / half, 1],
                            w: [0, run * panel, panel],
                        },
                        n: outputs,
                        panel_stride: [rows * run * panel, panel],
                        finish,
                        repeat: 1,
                        repeat_stride: [0; 3],
                        pairs: self.pairs,
                    };
                    contract(self.level, &job, to);
                    packed = &packed[outputs.div_ceil(panel) * rows * run * panel..];
                }
            }
            Method::Winograd(winograd) => {
                winograd.run(samples, packed, from, to, finish, &mut scratch.winograd);
            }
            Method::Narrow(passes) => {
                let from = from.chunks(strides[0]);
                for (sample, (from, to)) in
                    from.zip(to.chunks_mut(strides[1])).take(samples).enumerate()
                {
                    let mut packed = packed;
                    for pass in passes {
                        let (rows, run) = (pass.rows.len(), pass.columns.len() * inputs);
                        let job = Narrow {
                            x: from,
                            w: packed,
                            positions: &pass.positions,
                            rows,
                            run,
                            row_stride: self.input.row(),
                            channels: outputs,
                            finish,
                            to,
                        };
                        narrow(self.level, job);
                        packed = &packed[outputs * rows * run..];
                    }
                    for row in self.output.rows() {
                        let place = sample * strides[1] + row.start;
                        elementwise::finish_row(self.level, &mut to[row], finish, place);
                    }
                }
            }
        }
    }
}

/// Every small pixel sees through all taps.
fn down(conv: Conv, input: Layout, output: Layout) -> Pass {
    let place = |at: usize| (at * conv.window.stride) as isize - conv.window.padding as isize;
    let pixels = (0..output.shape[0]).flat_map(|y| (0..output.shape[1]).map(move |x| (y, x)));
    Pass {
        positions: pixels
            .map(|(y, x)| [input.offset(place(y), place(x)), output.offset(y as isize, x as isize)])
            .collect(),
        rows: (0..conv.kernel).collect(),
        columns: (0..conv.kernel).collect(),
    }
}

/// Large pixels with the same remainders by the stride are seen through the same taps.
fn up(conv: Conv, input: Layout, output: Layout) -> Vec<Pass> {
    let stride = conv.window.stride;
    let mut passes = Vec::new();
    for first_y in 0..stride.min(output.shape[0]) {
        for first_x in 0..stride.min(output.shape[1]) {
            let ys = (first_y..output.shape[0]).step_by(stride);
            let pixels =
                ys.flat_map(|y| (first_x..output.shape[1]).step_by(stride).map(move |x| (y, x)));
            let (rows, columns) = (conv.taps(first_y), conv.taps(first_x));
            let none = rows.is_empty() || columns.is_empty();
            passes.push(Pass {
                positions: pixels
                    .map(|(y, x)| {
                        let from = [conv.first_seen_by(y), conv.first_seen_by(x)];
                        let from = if none { 0 } else { input.offset(from[0], from[1]) };
                        [from, output.offset(y as isize, x as isize)]
                    })
                    .collect(),
                rows,
                columns,
            });
        }
    }
    passes
}
