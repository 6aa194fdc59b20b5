//! The one inner loop behind convolutions, transposed convolutions, their gradients, and linear
//! layers:
//!
//! out\[position\]\[n\] = sum over steps k of x\[position + k\] * w\[k\]\[n\]
//!
//! where steps form three nested strided loops. `n` runs over contiguous lanes, positions are
//! arbitrary offsets. A forward convolution broadcasts pixels (positions) against packed weights; a
//! weight gradient broadcasts one factor of the sum over pixels (steps) against vectors of the
//! other. A register tile holds up to 8 positions by 2 vectors of sums.

use std::ops::Range;

use crate::activation::Activation;
use crate::math;
use crate::simd::{Kernel, Level, Simd, array, dispatch};

/// Three nested loops over the terms of a sum, outermost first: how many, and how far (in floats)
/// `x` and `w` move with each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) count: [usize; 3],
    pub(crate) x: [usize; 3],
    pub(crate) w: [usize; 3],
}

impl Steps {
    /// The largest offsets into `x` and `w`; none if there is no term.
    fn reach(&self) -> Option<[usize; 2]> {
        let last = |strides: [usize; 3]| {
            self.count.iter().zip(strides).map(|(n, stride)| (n - 1) * stride).sum()
        };
        (!self.count.contains(&0)).then(|| [last(self.x), last(self.w)])
    }
}

/// Pairs of offsets, into `x` and into the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    offsets: Vec<[u32; 2]>,
    reach: [usize; 2],
}

impl FromIterator<[usize; 2]> for Positions {
    fn from_iter<I: IntoIterator<Item = [usize; 2]>>(pairs: I) -> Self {
        let mut positions = Positions::default();
        for pair in pairs {
            let narrow = |offset| u32::try_from(offset).unwrap_or_else(|_| panic!("map too large"));
            positions.offsets.push(pair.map(narrow));
            positions.reach = [0, 1].map(|i| positions.reach[i].max(pair[i]));
        }
        positions
    }
}

impl Positions {
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// The largest offset of each kind.
    pub(crate) fn reach(&self) -> [usize; 2] {
        self.reach
    }

    pub(crate) fn at(&self, index: usize) -> [usize; 2] {
        self.offsets[index].map(|offset| offset as usize)
    }

    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = [usize; 2]> {
        self.offsets[range].iter().map(|pair| pair.map(|offset| offset as usize))
    }
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    /// It is stored.
    Store,
    /// It is added to what is there.
    Add,
    /// activation(sum + bias\[n\]) is stored.
    Activate { bias: &'a [f32], activation: Activation },
    /// sum * activation'(..) is stored, where `at` has the activation's outputs at the offsets of
    /// the output: the way back through the activation of the layer before.
    Slope { at: &'a [f32], activation: Activation },
}

impl Finish<'_> {
    /// Finishes `count` lanes of sums of the channels from `channel` on, which go to `to`, at
    /// offset `at` of the output.
    ///
    /// # Safety
    /// `count` floats lie at `to`, in `bias` from `channel` on, and in `at`'s slice at the offset.
    #[inline(always)]
    pub(crate) unsafe fn apply<S: Simd>(
        self,
        simd: S,
        sum: S::V,
        to: *const f32,
        at: usize,
        channel: usize,
        count: usize,
    ) -> S::V {
        // SAFETY: as the caller promises.
        unsafe {
            match self {
                Finish::Store => sum,
                Finish::Add => simd.add(simd.load_first(to, count), sum),
                Finish::Activate { bias, activation } => {
                    let bias = simd.load_first(bias.as_ptr().add(channel), count);
                    math::activate(simd, activation, simd.add(sum, bias))
                }
                Finish::Slope { at: outputs, activation } => {
                    let output = simd.load_first(outputs.as_ptr().add(at), count);
                    math::multiply_slope(simd, activation, output, sum)
                }
            }
        }
    }

    /// The slope below 0 of its activation; none for tanh, or without activation.
    fn leak(self) -> Option<f32> {
        match self {
            Finish::Store | Finish::Add => None,
            Finish::Activate { activation, .. } | Finish::Slope { activation, .. } => {
                activation.leak()
            }
        }
    }

    /// # Panics
    /// If what the finish reads is shorter than an output of `n` channels that ends at `end`.
    pub(crate) fn check(self, n: usize, end: usize) {
        match self {
            Finish::Activate { bias, .. } => assert!(bias.len() >= n, "bias is too short"),
            Finish::Slope { at, .. } => assert!(end <= at.len(), "`at` is too short"),
            Finish::Store | Finish::Add => {}
        }
    }
}

/// One call of the inner loop.
#[derive(Clone, Copy)]
pub(crate) struct Contract<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) w: &'a [f32],
    pub(crate) positions: &'a Positions,
    /// The positions are repeated this many times, `x` and the output moved by these strides.
    pub(crate) samples: usize,
    pub(crate) sample_stride: [usize; 2],
    pub(crate) steps: Steps,
    /// Lanes of the output per position.
    pub(crate) n: usize,
    /// Distances in `w` and in the output between panels of [`Simd::PANEL`] lanes.
    pub(crate) panel_stride: [usize; 2],
    pub(crate) finish: Finish<'a>,
    /// All of it is repeated, with `x`, `w` and the output moved by these strides.
    pub(crate) repeat: usize,
    pub(crate) repeat_stride: [usize; 3],
    /// `x` and `w` hold pairs of bf16.
    pub(crate) pairs: bool,
}

/// Runs `job` on an instruction set.
///
/// # Panics
/// If any offset lies outside its slice. `w` needs a whole panel of readable lanes at its last
/// step, even where fewer are used.
pub(crate) fn contract(level: Level, job: &Contract<'_>, out: &mut [f32]) {
    struct Run<'a>(&'a Contract<'a>, &'a mut [f32]);
    impl Kernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            simd.contract(self.0, self.1);
        }
    }
    dispatch(level, Run(job, out));
}

/// Runs `job` with register tiles of `P` positions, `H` for the rest.
#[inline(always)]
pub(crate) fn contract_tiled<S: Simd, const P: usize, const H: usize>(
    simd: S,
    job: &Contract<'_>,
    out: &mut [f32],
) {
    if job.samples == 0 || job.positions.len() == 0 || job.n == 0 || job.repeat == 0 {
        return;
    }
    let panels = job.n.div_ceil(S::PANEL);
    let sample = |i: usize| (job.samples - 1) * job.sample_stride[i];
    let repeat = |i: usize| (job.repeat - 1) * job.repeat_stride[i];
    if let Some([x, w]) = job.steps.reach() {
        let x = x + job.positions.reach[0] + sample(0) + repeat(0);
        assert!(x < job.x.len(), "x is too short");
        let lanes = w + repeat(1) + (panels - 1) * job.panel_stride[0] + S::PANEL;
        assert!(lanes <= job.w.len(), "w is too short");
    }
    let lanes = (panels - 1) * job.panel_stride[1] + job.n - (panels - 1) * S::PANEL;
    let end = job.positions.reach[1] + sample(1) + repeat(2) + lanes;
    assert!(end <= out.len(), "the output is too short");
    job.finish.check(job.n, end);
    // SAFETY: all offsets were checked against the slices above.
    unsafe {
        for repeat in 0..job.repeat {
            let bases = job.repeat_stride.map(|stride| repeat * stride);
            for panel in 0..panels {
                let lanes = (job.n - panel * S::PANEL).min(S::PANEL);
                let part = Part { bases, panel, lanes };
                match (lanes > S::LANES, job.pairs) {
                    (true, false) => one_panel::<S, P, H, 2, false>(simd, job, out, part),
                    (false, false) => one_panel::<S, P, H, 1, false>(simd, job, out, part),
                    (true, true) => one_panel::<S, P, H, 2, true>(simd, job, out, part),
                    (false, true) => one_panel::<S, P, H, 1, true>(simd, job, out, part),
                }
            }
        }
    }
}

/// One panel of one repetition.
#[derive(Clone, Copy)]
struct Part {
    /// Offsets of the repetition in `x`, `w` and the output.
    bases: [usize; 3],
    panel: usize,
    lanes: usize,
}

/// # Safety
/// All offsets of the job lie inside its slices.
#[inline(always)]
unsafe fn one_panel<S: Simd, const P: usize, const H: usize, const N: usize, const PAIRS: bool>(
    simd: S,
    job: &Contract<'_>,
    out: &mut [f32],
    part: Part,
) {
    let per_sample = job.positions.len();
    let total = per_sample * job.samples;
    let (mut sample, mut index, mut done) = (0, 0, 0);
    while done < total {
        let count = P.min(total - done);
        let mut offsets = [[0; 2]; P];
        for i in 0..P {
            // The places of a tile that has fewer positions repeat its last one.
            if i >= count {
                offsets[i] = offsets[i.saturating_sub(1)];
                continue;
            }
            let pair = job.positions.offsets[index];
            offsets[i] = [
                part.bases[0] + pair[0] as usize + sample * job.sample_stride[0],
                part.bases[2] + pair[1] as usize + sample * job.sample_stride[1],
            ];
            index += 1;
            if index == per_sample {
                (sample, index) = (sample + 1, 0);
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            if count > H {
                tile::<S, P, N, PAIRS>(simd, job, &offsets, count, out, part);
            } else {
                let offsets = &array!(i < H => offsets[i]);
                tile::<S, H, N, PAIRS>(simd, job, offsets, count, out, part);
            }
        }
        done += count;
    }
}

/// # Safety
/// As [`one_panel`]; `count` is between 1 and `P`.
#[inline(always)]
unsafe fn tile<S: Simd, const P: usize, const N: usize, const PAIRS: bool>(
    simd: S,
    job: &Contract<'_>,
    offsets: &[[usize; 2]; P],
    count: usize,
    out: &mut [f32],
    part: Part,
) {
    let Part { bases, panel, lanes } = part;
    let Steps { count: [outer, middle, inner], x: x_strides, w: w_strides } = job.steps;
    let mut sums = [[simd.splat(0.0); N]; P];
    // SAFETY: the caller promises that positions and steps stay inside the slices.
    unsafe {
        let x = array!(p < P => job.x.as_ptr().add(offsets[p][0]));
        let w = job.w.as_ptr().add(bases[1] + panel * job.panel_stride[0]);
        for i in 0..outer {
            for j in 0..middle {
                let mut k = i * x_strides[0] + j * x_strides[1];
                let mut w = w.add(i * w_strides[0] + j * w_strides[1]);
                for _ in 0..inner {
                    let vectors = array!(v < N => simd.load(w.add(v * S::LANES)));
                    for p in 0..P {
                        let value = simd.splat(*x[p].add(k));
                        for v in 0..N {
                            sums[p][v] = if PAIRS {
                                simd.dot_pairs(value, vectors[v], sums[p][v])
                            } else {
                                simd.fma(value, vectors[v], sums[p][v])
                            };
                        }
                    }
                    k += x_strides[2];
                    w = w.wrapping_add(w_strides[2]);
                }
            }
        }
        let whole = lanes == N * S::LANES && count == P;
        let start = |p: usize| offsets[p][1] + panel * job.panel_stride[1];
        // The frequent cases: whole tiles, without masks.
        macro_rules! each {
            (|$value:ident, $v:ident, $at:ident, $to:ident| $result:expr) => {
                for p in 0..P {
                    for $v in 0..N {
                        let $value = sums[p][$v];
                        let $at = start(p) + $v * S::LANES;
                        let $to = out.as_mut_ptr().add($at);
                        simd.store($to, $result);
                    }
                }
            };
        }
        match (job.finish, job.finish.leak()) {
            (Finish::Store, _) if whole => each!(|sum, v, at, to| sum),
            (Finish::Add, _) if whole => each!(|sum, v, at, to| simd.add(simd.load(to), sum)),
            (Finish::Activate { bias, .. }, Some(leak)) if whole => {
                let bias = bias.as_ptr().add(panel * S::PANEL);
                let bias = array!(v < N => simd.load(bias.add(v * S::LANES)));
                let leak = simd.splat(leak);
                each!(|sum, v, at, to| {
                    let x = simd.add(sum, bias[v]);
                    simd.max(simd.mul(x, leak), x)
                });
            }
            (Finish::Slope { at: outputs, .. }, Some(leak)) if whole => {
                let leak = simd.splat(leak);
                each!(|sum, v, at, to| {
                    let output = simd.load(outputs.as_ptr().add(at));
                    simd.where_positive(output, sum, simd.mul(sum, leak))
                });
            }
            (finish, _) => {
                // A copy in memory, so that indexing it by a variable leaves `sums` in registers.
                let mut rest = [[simd.splat(0.0); N]; P];
                for p in 0..P {
                    for v in 0..N {
                        rest[p][v] = sums[p][v];
                    }
                }
                for p in 0..count {
                    for v in 0..N {
                        let first = v * S::LANES;
                        let count = lanes.saturating_sub(first);
                        let (at, channel) = (start(p) + first, panel * S::PANEL + first);
                        let to = out.as_mut_ptr().add(at);
                        let value = finish.apply(simd, rest[p][v], to, at, channel, count);
                        simd.store_first(to, value, count);
                    }
                }
            }
        }
    }
}
