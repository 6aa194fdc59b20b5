use super::transform::{Distribute, Pairs};
use super::{GRADIENT_SIDE, PHASES, Scratch, TILES_GRADIENT, Tiles};
use super::{down, plane, products_of, room, spread_all};
use crate::bf16::Precision;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::geometry::{Conv, Layout};
use crate::simd::{Level, dispatch};

/// The gradient of the weights: the transposed algorithm.
#[derive(Debug)]
pub(crate) struct WinogradGradient {
    level: Level,
    conv: Conv,
    /// Strides of the small and the large map.
    strides: [usize; 2],
    phases: Vec<Tiles>,
    /// How what is summed over tiles is multiplied.
    pairs: Pairs,
}

impl WinogradGradient {
    pub(crate) fn new(
        level: Level,
        precision: Precision,
        conv: Conv,
        small: Layout,
        large: Layout,
    ) -> Self {
        let phases = down(&conv, GRADIENT_SIDE, large, small);
        let pairs = match precision {
            Precision::F32 => Pairs::None,
            Precision::Bf16 => Pairs::Tiles,
        };
        Self { level, conv, strides: [small.len(), large.len()], phases, pairs }
    }

    /// Floats of one product's sums: [panel, phase, large channel, lane].
    fn block(&self) -> usize {
        let panel = self.level.panel();
        self.conv.small[2].div_ceil(panel) * panel * PHASES.len() * self.conv.large[2]
    }

    pub(crate) fn weights(&self) -> usize {
        self.conv.weights()
    }

    pub(crate) fn zeros(&self) -> Vec<f32> {
        vec![0.0; products_of(GRADIENT_SIDE) * self.block()]
    }

    /// As [`crate::weight_gradient::WeightGradient::add`].
    pub(crate) fn add(
        &self,
        samples: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (level, panel) = (self.level, self.level.panel());
        let channels = self.conv.small[2];
        let rows = PHASES.len() * self.conv.large[2];
        let count = self.phases[0].count();
        let positions: Positions = (0..rows).map(|j| [j, j * panel]).collect();
        let Scratch { windows, products } = scratch;
        for sample in 0..samples {
            let (small, large) =
                (&small[sample * self.strides[0]..], &large[sample * self.strides[1]..]);
            for first in (0..count).step_by(TILES_GRADIENT) {
                let range = first..count.min(first + TILES_GRADIENT);
                let [_, tiles] = self.pairs.halve(0, range.len());
                let windows = room(windows, products_of(GRADIENT_SIDE) * plane(tiles * rows));
                let products =
                    room(products, products_of(GRADIENT_SIDE) * plane(tiles * channels) + panel);
                spread_all(
                    level,
                    (&self.phases, range.clone()),
                    &self.conv,
                    large,
                    windows,
                    self.pairs,
                );
                let tile = &self.phases[0];
                let pairs = self.pairs;
                let from = small;
                dispatch(level, Distribute { tiles: tile, range, channels, from, products, pairs });
                let job = Contract {
                    x: windows,
                    w: products,
                    positions: &positions,
                    samples: 1,
                    sample_stride: [0; 2],
                    steps: Steps { count: [1, 1, tiles], x: [0, 0, rows], w: [0, 0, channels] },
                    n: channels,
                    panel_stride: [panel, rows * panel],
                    finish: Finish::Add,
                    repeat: products_of(GRADIENT_SIDE),
                    repeat_stride: [plane(tiles * rows), plane(tiles * channels), self.block()],
                    pairs: self.pairs != Pairs::None,
                };
                contract(level, &job, sums);
            }
        }
    }

    /// As [`crate::weight_gradient::WeightGradient::unpack`].
    pub(crate) fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let panel = self.level.panel();
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        let rows = PHASES.len() * large;
        let mut gradient = vec![0.0; self.conv.weights()];
        for s in 0..small {
            for l in 0..large {
                for (phase, [a, b]) in PHASES.into_iter().enumerate() {
                    let row = phase * large + l;
                    let at = ((s / panel) * rows + row) * panel + s % panel;
                    let du = |f: usize| sums[f * self.block() + at];
                    for i in 0..2 {
                        for j in 0..2 {
                            let line = |f: usize| du(f * 3 + j) + du(f * 3 + j + 1);
                            let tap = [2 * i + a, 2 * j + b];
                            gradient[self.conv.weight(s, l, tap)] = line(i) + line(i + 1);
                        }
                    }
                }
            }
        }
        gradient
    }
}
