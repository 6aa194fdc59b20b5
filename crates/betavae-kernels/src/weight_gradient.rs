//! The gradient of a convolution's weight: for each tap and pair of channels, the sum over small pixels
//! of their value times that of the large pixel at the tap. For a convolution, the large map is the
//! input and the small map the output's gradient; for a transposed convolution it is the other way
//! round. The gradient of the input is a convolution itself, in `prepared_conv`.

use crate::bf16::{self, Precision};
use crate::buffer::par_filled;
use crate::epilogue::Epilogue;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::indirect_gemm::{IndirectGemm, Positions, TermLoops, indirect_gemm};
use crate::prepared_conv::Scratch;
use crate::simd::SimdLevel;
use crate::winograd::{self, WinogradGradient};

/// A weight gradient, prepared for the layouts of both maps and an instruction set.
#[derive(Debug)]
pub(crate) enum WeightGradient {
    /// The sum as it is defined.
    Direct(Direct),
    /// For 4x4 kernels of stride 2, with fewer multiplications.
    Winograd(WinogradGradient),
}

impl WeightGradient {
    /// `large` needs the border of [`ConvShape::large_layout`].
    pub(crate) fn new(
        level: SimdLevel,
        precision: Precision,
        conv: ConvShape,
        small: PaddedLayout,
        large: PaddedLayout,
    ) -> Self {
        // A pair is two neighbouring pixels of the small map. With few large channels, packing them costs
        // more than it saves, and wide layers gain more from panels.
        let bf16_pairs = precision == Precision::Bf16
            && conv.weight_count() < MIN_PANEL_WEIGHTS
            && conv.small[2] > 4
            && conv.large[2] > 4
            && conv.small[1].is_multiple_of(2);
        if winograd::is_applicable(precision, &conv) {
            Self::Winograd(WinogradGradient::new(level, precision, conv, small, large))
        } else if bf16_pairs {
            Self::Direct(Direct { bf16_pairs, ..Direct::new(level, conv, small, large) })
        } else {
            Self::Direct(Direct::new(level, conv, small, large))
        }
    }

    /// Number of weights.
    pub(crate) fn weight_count(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.conv.weight_count(),
            Self::Winograd(winograd) => winograd.weight_count(),
        }
    }

    /// Sums of nothing, to which [`WeightGradient::add`] adds.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.zeros(),
            Self::Winograd(winograd) => winograd.zeros(),
        }
    }

    /// Adds the gradients of `images` maps to `sums`. Both slices need a panel of readable floats after
    /// the last map.
    pub(crate) fn add(
        &self,
        images: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match self {
            Self::Direct(direct) if direct.bf16_pairs => {
                direct.add_pairs(images, small, large, sums, &mut scratch.bf16_pairs);
            }
            Self::Direct(direct) => direct.add(images, small, large, sums),
            Self::Winograd(winograd) => {
                winograd.add(images, small, large, sums, &mut scratch.winograd);
            }
        }
    }

    /// Whether [`WeightGradient::compute_by_panels`] is faster than sums for groups of images.
    pub(crate) fn prefers_panels(&self) -> bool {
        match self {
            Self::Direct(direct) => {
                direct.lanes == Lanes::Small
                    && !direct.bf16_pairs
                    && direct.conv.weight_count() >= MIN_PANEL_WEIGHTS
            }
            Self::Winograd(_) => false,
        }
    }

    /// The sums over all images in PyTorch's layout, in parallel over panels of small channels.
    /// The slices are as for [`WeightGradient::add`].
    pub(crate) fn compute_by_panels(
        &self,
        images: usize,
        small: &[f32],
        large: &[f32],
    ) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.compute_by_panels(images, small, large),
            Self::Winograd(_) => unreachable!("Winograd's algorithm has no panels"),
        }
    }

    /// Reorders the sums to PyTorch's layout.
    pub(crate) fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        match self {
            Self::Direct(direct) => direct.unpack(sums),
            Self::Winograd(winograd) => winograd.unpack(sums),
        }
    }
}

/// The weight gradient as a sum without transforms.
#[derive(Debug)]
pub(crate) struct Direct {
    level: SimdLevel,
    conv: ConvShape,
    small: PaddedLayout,
    large: PaddedLayout,
    lanes: Lanes,
    /// Offsets of what is broadcast, and of its row of lanes in the sums.
    positions: Positions,
    /// Whether factors are multiplied as pairs of bf16.
    bf16_pairs: bool,
}

/// The number of weights from which dividing them into panels pays.
const MIN_PANEL_WEIGHTS: usize = 1 << 17;

/// Pixels whose panel of lanes is packed at once. It takes a quarter of a first-level cache, and their
/// receptive fields fit the second.
const PACKED_PIXELS: usize = 96;

/// What the lanes of a vector are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    /// The channels of the small map; every (tap, large channel) is broadcast.
    Small,
    /// A row of taps by large channels; small channels are broadcast. This is for few small channels.
    Large,
}

impl Direct {
    fn new(level: SimdLevel, conv: ConvShape, small: PaddedLayout, large: PaddedLayout) -> Self {
        let kernel = conv.kernel;
        let (lanes, positions) = if conv.small[2] > 4 {
            let row = kernel * large.shape[2];
            let offset = |j: usize| (j / row) * large.row_stride() + j % row;
            let positions = (0..kernel * row).map(|j| [offset(j), j * level.panel()]);
            (Lanes::Small, positions.collect())
        } else {
            let positions = (0..conv.small[2]).map(|c| [c, c * level.panel()]);
            (Lanes::Large, positions.collect())
        };
        Self { level, conv, small, large, lanes, positions, bf16_pairs: false }
    }

    /// The number of lanes of a row of sums.
    fn width(&self) -> usize {
        match self.lanes {
            Lanes::Small => self.conv.small[2],
            Lanes::Large => self.conv.kernel * self.conv.large[2],
        }
    }

    /// Floats of one block of sums: all panels of all positions.
    fn block_len(&self) -> usize {
        let panel = self.level.panel();
        self.width().div_ceil(panel) * panel * self.positions.len()
    }

    fn zeros(&self) -> Vec<f32> {
        let blocks = if self.lanes == Lanes::Small { 1 } else { self.conv.kernel };
        vec![0.0; blocks * self.block_len()]
    }

    fn add(&self, images: usize, small: &[f32], large: &[f32], sums: &mut [f32]) {
        let [height, width, channels] = self.small.shape;
        let count = [images, height, width];
        let small_strides = [self.small.len(), self.small.row_stride(), channels];
        let large_strides = self.large_strides();
        let (small, large) = (&small[self.small.offset(0, 0)..], &large[self.corner()..]);
        let gemm = self.gemm();
        match self.lanes {
            Lanes::Small => {
                let terms = TermLoops { count, x: large_strides, w: small_strides };
                indirect_gemm(
                    self.level,
                    &IndirectGemm { x: large, w: small, terms, ..gemm },
                    sums,
                );
            }
            Lanes::Large => {
                let terms = TermLoops { count, x: small_strides, w: large_strides };
                for (ky, sums) in sums.chunks_exact_mut(self.block_len()).enumerate() {
                    let w = &large[ky * self.large.row_stride()..];
                    indirect_gemm(self.level, &IndirectGemm { x: small, w, terms, ..gemm }, sums);
                }
            }
        }
    }

    /// What all products have in common.
    fn gemm(&self) -> IndirectGemm<'_> {
        let panel = self.level.panel();
        IndirectGemm {
            x: &[],
            w: &[],
            positions: &self.positions,
            images: 1,
            image_stride: [0; 2],
            terms: TermLoops { count: [0; 3], x: [0; 3], w: [0; 3] },
            n: self.width(),
            panel_stride: [panel, self.positions.len() * panel],
            epilogue: Epilogue::Accumulate,
            products: 1,
            product_stride: [0; 3],
            bf16_pairs: false,
        }
    }

    /// The strides in the large map from a small pixel's receptive field to that of the next image, row
    /// and pixel.
    fn large_strides(&self) -> [usize; 3] {
        let stride = self.conv.options.stride;
        [self.large.len(), stride * self.large.row_stride(), stride * self.large.shape[2]]
    }

    /// The offset of the first small pixel's receptive field.
    fn corner(&self) -> usize {
        let padding = self.conv.options.padding as isize;
        self.large.offset(-padding, -padding)
    }

    fn compute_by_panels(&self, images: usize, small: &[f32], large: &[f32]) -> Vec<f32> {
        let panel = self.level.panel();
        let [height, width, channels] = self.small.shape;
        let images_at_once = (PACKED_PIXELS / (height * width)).max(1);
        let chunk = panel * self.conv.weight_count() / channels;
        par_filled(self.conv.weight_count(), chunk, |i, to| {
            let lanes = panel.min(channels - i * panel);
            let mut sums = vec![0.0; self.positions.len() * panel];
            // Packed side by side, the lanes of all pixels stay in the first-level cache.
            let mut packed = vec![0.0; images_at_once * height * width * panel];
            for first in (0..images).step_by(images_at_once) {
                let count = images_at_once.min(images - first);
                let mut pixels = packed.chunks_exact_mut(panel);
                for small in small[first * self.small.len()..].chunks(self.small.len()).take(count)
                {
                    for row in self.small.rows() {
                        for (from, to) in small[row].chunks_exact(channels).zip(&mut pixels) {
                            to[..lanes].copy_from_slice(&from[i * panel..][..lanes]);
                        }
                    }
                }
                let gemm = IndirectGemm {
                    x: &large[first * self.large.len() + self.corner()..],
                    w: &packed,
                    terms: TermLoops {
                        count: [count, height, width],
                        x: self.large_strides(),
                        w: [height * width * panel, width * panel, panel],
                    },
                    n: lanes,
                    ..self.gemm()
                };
                indirect_gemm(self.level, &gemm, &mut sums);
            }
            self.unpack_panel(&sums, to);
        })
    }

    /// Reorders the sums of one panel of small channels, [tap, large channel, lane], to PyTorch's layout.
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

    /// The same as `add`, over pairs of pixels.
    fn add_pairs(
        &self,
        images: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        buffers: &mut [Vec<f32>; 2],
    ) {
        let stride = self.conv.options.stride;
        let [height, width, channels] = self.small.shape;
        let (level, panel) = (self.level, self.level.panel());
        let [small_pairs, large_pairs] = buffers;
        let words = [height * width / 2 * channels, self.large.len()];
        small_pairs.resize(small_pairs.len().max(words[0] + panel), 0.0);
        large_pairs.resize(large_pairs.len().max(words[1]), 0.0);
        for image in 0..images {
            let small = &small[image * self.small.len()..];
            let large = &large[image * self.large.len()..];
            bf16::pack_pixels(level, &self.small, small, &mut small_pairs[..words[0]]);
            bf16::pack_shifted_pixels(
                level,
                &self.large,
                stride,
                large,
                &mut large_pairs[..words[1]],
            );
            let [_, row_stride, pixel_stride] = self.large_strides();
            let gemm = IndirectGemm {
                x: &large_pairs[self.corner()..],
                w: &small_pairs[..words[0] + panel],
                terms: TermLoops {
                    count: [1, height, width / 2],
                    x: [0, row_stride, 2 * pixel_stride],
                    w: [0, width / 2 * channels, channels],
                },
                bf16_pairs: true,
                ..self.gemm()
            };
            indirect_gemm(level, &gemm, sums);
        }
    }

    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let (kernel, panel) = (self.conv.kernel, self.level.panel());
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        match self.lanes {
            Lanes::Small => {
                let panels = self.positions.len() * panel;
                par_filled(
                    self.conv.weight_count(),
                    panel * self.conv.weight_count() / small,
                    |i, to| {
                        self.unpack_panel(&sums[i * panels..][..panels], to);
                    },
                )
            }
            Lanes::Large => {
                let mut gradient = vec![0.0; self.conv.weight_count()];
                for (s, to) in gradient.chunks_exact_mut(kernel * kernel * large).enumerate() {
                    for (i, to) in to.iter_mut().enumerate() {
                        let (l, ky, kx) = (i / (kernel * kernel), i / kernel % kernel, i % kernel);
                        let lane = kx * large + l;
                        let row = (lane / panel) * small + s;
                        *to = sums[ky * self.block_len() + row * panel + lane % panel];
                    }
                }
                gradient
            }
        }
    }
}
