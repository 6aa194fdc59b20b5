//! The way down or up through a [`Conv`], for a whole map: sums over what each output pixel sees.

use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::geometry::{Conv, Layout};
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
}

#[derive(Debug)]
enum Method {
    /// Sums in registers over all that a pixel sees. All output pixels that see through the same
    /// taps form a pass: one on the way down, stride^2 on the way up.
    Direct(Vec<Pass>),
    /// For few output channels, which would leave most lanes empty: first every input pixel's
    /// contribution through every tap, then the sum of those.
    Fold(Positions),
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
    parts: Vec<f32>,
    pub(crate) winograd: winograd::Scratch,
}

/// Up to this many output channels, [`Method::Fold`].
const NARROW: usize = 4;

impl Reduction {
    /// `output` may be any layout of the output map; `input` needs the border of
    /// [`Conv::large_layout`] (down) or [`Conv::small_layout`] (up).
    pub(crate) fn new(level: Level, conv: Conv, way: Way, input: Layout, output: Layout) -> Self {
        let method = if winograd::suits(&conv) {
            Method::Winograd(Winograd::new(level, conv, way, input, output))
        } else if output.shape[2] <= NARROW {
            let [height, width, channels] = input.shape;
            let taps = conv.kernel * conv.kernel * output.shape[2];
            let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
            Method::Fold(
                pixels
                    .map(|(y, x)| [y * input.row() + x * channels, (y * width + x) * taps])
                    .collect(),
            )
        } else {
            Method::Direct(match way {
                Way::Down => vec![down(conv, input, output)],
                Way::Up => up(conv, input, output),
            })
        };
        Self { level, conv, way, input, output, method }
    }

    fn channels(&self) -> [usize; 2] {
        [self.input.shape[2], self.output.shape[2]]
    }

    /// Weights in the order in which the inner loop reads them.
    pub(crate) fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let [inputs, outputs] = self.channels();
        let (panel, kernel) = (self.level.panel(), self.conv.kernel);
        let at = |input: usize, output: usize, tap: [usize; 2]| {
            let (small, large) = match self.way {
                Way::Down => (output, input),
                Way::Up => (input, output),
            };
            weight[self.conv.weight(small, large, tap)]
        };
        let mut packed = Vec::new();
        match &self.method {
            Method::Direct(passes) => {
                for pass in passes {
                    let taps = pass.rows.len() * pass.columns.len();
                    for first in (0..outputs).step_by(panel) {
                        let start = packed.len();
                        packed.resize(start + taps * inputs * panel, 0.0);
                        let packed = &mut packed[start..];
                        for (lane, output) in (first..outputs.min(first + panel)).enumerate() {
                            for input in 0..inputs {
                                for (i, ky) in pass.rows.iter().enumerate() {
                                    for (j, kx) in pass.columns.iter().enumerate() {
                                        let tap = i * pass.columns.len() + j;
                                        packed[(tap * inputs + input) * panel + lane] =
                                            at(input, output, [*ky, *kx]);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            Method::Winograd(winograd) => return winograd.pack(weight),
            Method::Fold(_) => {
                let lanes = kernel * kernel * outputs;
                packed.resize(lanes.div_ceil(panel) * panel * inputs, 0.0);
                for lane in 0..lanes {
                    let (tap, output) = (lane / outputs, lane % outputs);
                    for input in 0..inputs {
                        packed[((lane / panel) * inputs + input) * panel + lane % panel] =
                            at(input, output, [tap / kernel, tap % kernel]);
                    }
                }
            }
        }
        packed
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
                for pass in passes {
                    let (rows, run) = (pass.rows.len(), pass.columns.len() * inputs);
                    let job = Contract {
                        x: from,
                        w: packed,
                        positions: &pass.positions,
                        samples,
                        sample_stride: strides,
                        steps: Steps {
                            count: [1, rows, run],
                            x: [0, self.input.row(), 1],
                            w: [0, run * panel, panel],
                        },
                        n: outputs,
                        panel_stride: [rows * run * panel, panel],
                        finish,
                        pairs: false,
                    };
                    contract(self.level, &job, to);
                    packed = &packed[outputs.div_ceil(panel) * rows * run * panel..];
                }
            }
            Method::Winograd(winograd) => {
                winograd.run(samples, packed, from, to, finish, &mut scratch.winograd);
            }
            Method::Fold(positions) => {
                let scratch = &mut scratch.parts;
                let lanes = self.conv.kernel * self.conv.kernel * outputs;
                scratch.resize(positions.len() * lanes, 0.0);
                for sample in 0..samples {
                    let job = Contract {
                        x: &from[sample * strides[0] + self.input.offset(0, 0)..],
                        w: packed,
                        positions,
                        samples: 1,
                        sample_stride: [0; 2],
                        steps: Steps { count: [1, 1, inputs], x: [0, 0, 1], w: [0, 0, panel] },
                        n: lanes,
                        panel_stride: [inputs * panel, panel],
                        finish: Finish::Store,
                        pairs: false,
                    };
                    contract(self.level, &job, scratch);
                    self.fold(scratch, &mut to[sample * strides[1]..], finish, sample);
                }
            }
        }
    }

    /// Adds up contributions [input pixel, tap, output channel].
    fn fold(&self, parts: &[f32], to: &mut [f32], finish: Finish<'_>, sample: usize) {
        let [_, outputs] = self.channels();
        let kernel = self.conv.kernel;
        let ([height, width, _], columns) = (self.input.shape, self.output.shape[1]);
        let taps = kernel * kernel * outputs;
        for (y, row) in self.output.rows().enumerate() {
            let to = &mut to[row.clone()];
            match finish {
                Finish::Activate { bias, .. } => {
                    to.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(&bias[..outputs]));
                }
                Finish::Add => {}
                Finish::Store | Finish::Slope { .. } => to.fill(0.0),
            }
            for ky in 0..kernel {
                let Some(from_y) = self.source(y, ky, height) else { continue };
                for kx in 0..kernel {
                    // Output pixel (in, at stride `out_step`) and input pixel of each addition.
                    let [out_step, in_step] = match self.way {
                        Way::Down => [1, self.conv.window.stride],
                        Way::Up => [self.conv.window.stride, 1],
                    };
                    let Some(first) = (0..columns).find(|x| self.source(*x, kx, width).is_some())
                    else {
                        continue;
                    };
                    let source = self.source(first, kx, width).unwrap_or(0);
                    let part = ((from_y * width + source) * kernel + ky) * kernel * outputs;
                    let parts = parts[part + kx * outputs..].chunks(in_step * taps);
                    let count = (width - source).div_ceil(in_step);
                    let to = to[first * outputs..].chunks_mut(out_step * outputs);
                    for (to, part) in to.zip(parts.take(count)) {
                        to.iter_mut().zip(&part[..outputs]).for_each(|(to, part)| *to += part);
                    }
                }
            }
            crate::elementwise::finish_row(self.level, to, finish, row.start + sample * self.output.len());
        }
    }

    /// The input row or column, of `count`, that output `at` sees through a tap.
    fn source(&self, at: usize, tap: usize, count: usize) -> Option<usize> {
        let window = self.conv.window;
        let source = match self.way {
            Way::Down => (at * window.stride + tap).checked_sub(window.padding)?,
            Way::Up => {
                let offset = (at + window.padding).checked_sub(tap)?;
                offset.is_multiple_of(window.stride).then_some(offset / window.stride)?
            }
        };
        (source < count).then_some(source)
    }
}

/// Every small pixel sees through all taps.
fn down(conv: Conv, input: Layout, output: Layout) -> Pass {
    let place = |at: usize| (at * conv.window.stride) as isize - conv.window.padding as isize;
    let pixels = (0..output.shape[0]).flat_map(|y| (0..output.shape[1]).map(move |x| (y, x)));
    Pass {
        positions: pixels
            .map(|(y, x)| {
                [input.offset(place(y), place(x)), output.offset(y as isize, x as isize)]
            })
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
            let pixels = ys.flat_map(|y| {
                (first_x..output.shape[1]).step_by(stride).map(move |x| (y, x))
            });
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
