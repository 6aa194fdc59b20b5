//! The gradient of a convolution's weights: for each weight, the sum over pixels of the small map's
//! value times the large map's value that it sees. Which of the two is an activation and which a
//! gradient differs between convolutions and transposed ones; the sum does not.

use crate::bf16::{self, Precision};
use crate::buffer::filled;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::geometry::{Conv, Layout};
use crate::reduce::Scratch;
use crate::simd::Level;
use crate::winograd::{self, WinogradGradient};

/// Prepared for the layouts of both maps and an instruction set.
#[derive(Debug)]
pub(crate) enum WeightGradient {
    /// The sum as it is defined.
    Direct(Direct),
    /// With fewer multiplications, for 4x4 kernels of stride 2.
    Winograd(WinogradGradient),
}

impl WeightGradient {
    /// `large` needs the border of [`Conv::large_layout`].
    pub(crate) fn new(
        level: Level,
        precision: Precision,
        conv: Conv,
        small: Layout,
        large: Layout,
    ) -> Self {
        // Pairs are of neighbouring pixels of the small map. Of few large channels, packing them costs
        // more than it saves; and wide layers gain more by panels.
        let pairs = precision == Precision::Bf16
            && conv.weights() < WIDE
            && conv.small[2] > 4
            && conv.large[2] > 4
            && conv.small[1].is_multiple_of(2);
        if winograd::suits(precision, &conv) {
            Self::Winograd(WinogradGradient::new(level, precision, conv, small, large))
        } else if pairs {
            Self::Direct(Direct { pairs, ..Direct::new(level, conv, small, large) })
        } else {
            Self::Direct(Direct::new(level, conv, small, large))
        }
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.conv.weights(),
            Self::Winograd(winograd) => winograd.weights(),
        }
    }

    /// Fresh sums, to be added to.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.zeros(),
            Self::Winograd(winograd) => winograd.zeros(),
        }
    }

    /// Adds the sums over `samples` maps. Both slices need a panel of readable floats after the
    /// last map.
    pub(crate) fn add(
        &self,
        samples: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match self {
            Self::Direct(direct) if direct.pairs => {
                direct.add_pairs(samples, small, large, sums, &mut scratch.pairs);
            }
            Self::Direct(direct) => direct.add(samples, small, large, sums),
            Self::Winograd(winograd) => {
                winograd.add(samples, small, large, sums, &mut scratch.winograd);
            }
        }
    }

    /// Whether [`WeightGradient::by_panels`] is better than sums for groups of samples.
    pub(crate) fn has_panels(&self) -> bool {
        match self {
            Self::Direct(direct) => {
                direct.lanes == Lanes::Small && !direct.pairs && direct.conv.weights() >= WIDE
            }
            Self::Winograd(_) => false,
        }
    }

    /// The sums over all samples in PyTorch's layout, in parallel over panels of small channels.
    /// The slices are as for [`WeightGradient::add`].
    pub(crate) fn by_panels(&self, samples: usize, small: &[f32], large: &[f32]) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.by_panels(samples, small, large),
            Self::Winograd(_) => unreachable!("has no panels"),
        }
    }

    /// Sums in PyTorch's layout.
    pub(crate) fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.unpack(sums),
            Self::Winograd(winograd) => winograd.unpack(sums),
        }
    }
}

/// The direct sum.
#[derive(Debug)]
pub(crate) struct Direct {
    level: Level,
    conv: Conv,
    small: Layout,
    large: Layout,
    lanes: Lanes,
    /// Offsets of what is broadcast, and of its row of lanes in the sums.
    positions: Positions,
    /// Multiplied as pairs of bf16.
    pairs: bool,
}

/// Number of weights from which they are worth dividing into panels.
const WIDE: usize = 1 << 17;

/// Pixels whose panel of lanes is collected before it is added: a quarter of a first-level cache, and
/// what they see of the large map fits the second.
const COLLECTED: usize = 96;

/// What runs along the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    /// Channels of the small map; every (tap, large channel) is broadcast.
    Small,
    /// For few small channels: a row of taps by large channels; small channels are broadcast.
    Large,
}

impl Direct {
    fn new(level: Level, conv: Conv, small: Layout, large: Layout) -> Self {
        let kernel = conv.kernel;
        let (lanes, positions) = if conv.small[2] > 4 {
            let row = kernel * large.shape[2];
            let offset = |j: usize| (j / row) * large.row() + j % row;
            let positions = (0..kernel * row).map(|j| [offset(j), j * level.panel()]);
            (Lanes::Small, positions.collect())
        } else {
            let positions = (0..conv.small[2]).map(|c| [c, c * level.panel()]);
            (Lanes::Large, positions.collect())
        };
        Self { level, conv, small, large, lanes, positions, pairs: false }
    }

    /// Number of lanes of a row of sums.
    fn width(&self) -> usize {
        match self.lanes {
            Lanes::Small => self.conv.small[2],
            Lanes::Large => self.conv.kernel * self.conv.large[2],
        }
    }

    /// Floats of one block of sums: all panels of all positions.
    fn block(&self) -> usize {
        let panel = self.level.panel();
        self.width().div_ceil(panel) * panel * self.positions.len()
    }

    fn zeros(&self) -> Vec<f32> {
        let blocks = if self.lanes == Lanes::Small { 1 } else { self.conv.kernel };
        vec![0.0; blocks * self.block()]
    }

    fn add(&self, samples: usize, small: &[f32], large: &[f32], sums: &mut [f32]) {
        let [height, width, channels] = self.small.shape;
        let count = [samples, height, width];
        let small_strides = [self.small.len(), self.small.row(), channels];
        let large_strides = self.large_strides();
        let (small, large) = (&small[self.small.offset(0, 0)..], &large[self.corner()..]);
        let job = self.job();
        match self.lanes {
            Lanes::Small => {
                let steps = Steps { count, x: large_strides, w: small_strides };
                contract(self.level, &Contract { x: large, w: small, steps, ..job }, sums);
            }
            Lanes::Large => {
                let steps = Steps { count, x: small_strides, w: large_strides };
                for (ky, sums) in sums.chunks_exact_mut(self.block()).enumerate() {
                    let w = &large[ky * self.large.row()..];
                    contract(self.level, &Contract { x: small, w, steps, ..job }, sums);
                }
            }
        }
    }

    /// What all calls of the inner loop have in common.
    fn job(&self) -> Contract<'_> {
        let panel = self.level.panel();
        Contract {
            x: &[],
            w: &[],
            positions: &self.positions,
            samples: 1,
            sample_stride: [0; 2],
            steps: Steps { count: [0; 3], x: [0; 3], w: [0; 3] },
            n: self.width(),
            panel_stride: [panel, self.positions.len() * panel],
            finish: Finish::Add,
            repeat: 1,
            repeat_stride: [0; 3],
            pairs: false,
        }
    }

    /// From what one small pixel sees to what the next image's, row's and pixel's sees.
    fn large_strides(&self) -> [usize; 3] {
        let stride = self.conv.window.stride;
        [self.large.len(), stride * self.large.row(), stride * self.large.shape[2]]
    }

    /// Where the first small pixel's reach begins.
    fn corner(&self) -> usize {
        let padding = self.conv.window.padding as isize;
        self.large.offset(-padding, -padding)
    }

    fn by_panels(&self, samples: usize, small: &[f32], large: &[f32]) -> Vec<f32> {
        let panel = self.level.panel();
        let [height, width, channels] = self.small.shape;
        let at_once = (COLLECTED / (height * width)).max(1);
        let slab = panel * self.conv.weights() / channels;
        filled(self.conv.weights(), slab, |i, to| {
            let lanes = panel.min(channels - i * panel);
            let mut sums = vec![0.0; self.positions.len() * panel];
            // Side by side, the lanes of all pixels stay in the first-level cache.
            let mut collected = vec![0.0; at_once * height * width * panel];
            for first in (0..samples).step_by(at_once) {
                let count = at_once.min(samples - first);
                let mut pixels = collected.chunks_exact_mut(panel);
                for small in small[first * self.small.len()..].chunks(self.small.len()).take(count)
                {
                    for row in self.small.rows() {
                        for (from, to) in small[row].chunks_exact(channels).zip(&mut pixels) {
                            to[..lanes].copy_from_slice(&from[i * panel..][..lanes]);
                        }
                    }
                }
                let job = Contract {
                    x: &large[first * self.large.len() + self.corner()..],
                    w: &collected,
                    steps: Steps {
                        count: [count, height, width],
                        x: self.large_strides(),
                        w: [height * width * panel, width * panel, panel],
                    },
                    n: lanes,
                    ..self.job()
                };
                contract(self.level, &job, &mut sums);
            }
            self.unpack_panel(&sums, to);
        })
    }

    /// The sums of one panel of small channels, [tap, large channel, lane], in PyTorch's layout.
    fn unpack_panel(&self, sums: &[f32], to: &mut [f32]) {
        let (panel, taps) = (self.level.panel(), self.conv.kernel * self.conv.kernel);
        let channels = self.conv.large[2];
        for channel in 0..channels {
            for tap in 0..taps {
                let lanes = &sums[(tap * channels + channel) * panel..][..panel];
                let to = to[channel * taps + tap..].iter_mut().step_by(channels * taps);
                to.zip(lanes).for_each(|(to, sum)| *to = *sum);
            }
        }
    }

    /// As `add`, over pairs of pixels.
    fn add_pairs(
        &self,
        samples: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        buffers: &mut [Vec<f32>; 2],
    ) {
        let stride = self.conv.window.stride;
        let [height, width, channels] = self.small.shape;
        let (level, panel) = (self.level, self.level.panel());
        let [small_pairs, large_pairs] = buffers;
        let words = [height * width / 2 * channels, self.large.len()];
        small_pairs.resize(small_pairs.len().max(words[0] + panel), 0.0);
        large_pairs.resize(large_pairs.len().max(words[1]), 0.0);
        for sample in 0..samples {
            let small = &small[sample * self.small.len()..];
            let large = &large[sample * self.large.len()..];
            bf16::pack_pixels(level, &self.small, small, &mut small_pairs[..words[0]]);
            bf16::pack_windows(level, &self.large, stride, large, &mut large_pairs[..words[1]]);
            let [_, down, right] = self.large_strides();
            let job = Contract {
                x: &large_pairs[self.corner()..],
                w: &small_pairs[..words[0] + panel],
                steps: Steps {
                    count: [1, height, width / 2],
                    x: [0, down, 2 * right],
                    w: [0, width / 2 * channels, channels],
                },
                pairs: true,
                ..self.job()
            };
            contract(level, &job, sums);
        }
    }

    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let (kernel, panel) = (self.conv.kernel, self.level.panel());
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        match self.lanes {
            Lanes::Small => {
                let panels = self.positions.len() * panel;
                filled(self.conv.weights(), panel * self.conv.weights() / small, |i, to| {
                    self.unpack_panel(&sums[i * panels..][..panels], to);
                })
            }
            Lanes::Large => {
                let mut gradient = vec![0.0; self.conv.weights()];
                for (s, to) in gradient.chunks_exact_mut(kernel * kernel * large).enumerate() {
                    for (i, to) in to.iter_mut().enumerate() {
                        let (l, ky, kx) = (i / (kernel * kernel), i / kernel % kernel, i % kernel);
                        let lane = kx * large + l;
                        let row = (lane / panel) * small + s;
                        *to = sums[ky * self.block() + row * panel + lane % panel];
                    }
                }
                gradient
            }
        }
    }
}
