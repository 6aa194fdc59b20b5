//! Sums for few output channels, which would leave most lanes of an output's vector empty: the lanes
//! run along what a pixel sees, and are added up at the end.

use crate::contract::{Finish, Positions};
use crate::simd::{Kernel, Level, Simd, array, dispatch};

/// Up to this many output channels.
pub(crate) const NARROW: usize = 4;

/// One call: to\[position\]\[channel\] = sum over rows and their floats of x\[position + ..\] *
/// w\[channel\]\[..\], with the bias but before the activation.
pub(crate) struct Narrow<'a> {
    pub(crate) x: &'a [f32],
    /// [channel, row, float]
    pub(crate) w: &'a [f32],
    pub(crate) positions: &'a Positions,
    /// How many rows a pixel sees, how many floats of each, and how far apart they are.
    pub(crate) rows: usize,
    pub(crate) run: usize,
    pub(crate) row_stride: usize,
    /// At most [`NARROW`].
    pub(crate) channels: usize,
    pub(crate) finish: Finish<'a>,
    pub(crate) to: &'a mut [f32],
}

/// # Panics
/// If an offset lies outside its slice, or there are more channels than [`NARROW`].
pub(crate) fn narrow(level: Level, job: Narrow<'_>) {
    dispatch(level, job);
}

impl Kernel for Narrow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Narrow { x, w, positions, rows, run, row_stride, channels, ref to, .. } = self;
        let seen = rows * run;
        if positions.len() == 0 {
            return;
        }
        let [from, end] = positions.reach();
        let reach = if seen == 0 { 0 } else { from + (rows - 1) * row_stride + run };
        assert!(reach <= x.len() && channels * seen <= w.len(), "x or w is too short");
        assert!(end + channels <= to.len(), "the output is too short");
        // SAFETY: all offsets were checked above.
        unsafe {
            match channels {
                1 => self.tiles::<S, 8, 1>(simd),
                2 => self.tiles::<S, 6, 2>(simd),
                3 => self.tiles::<S, 4, 3>(simd),
                4 => self.tiles::<S, 3, 4>(simd),
                _ => panic!("{channels} channels are not few"),
            }
        }
    }
}

impl Narrow<'_> {
    /// `P` positions at a time, `C` channels.
    ///
    /// # Safety
    /// All offsets lie inside the slices.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const P: usize, const C: usize>(self, simd: S) {
        let Narrow { x, w, positions, rows, run, row_stride, finish, to, .. } = self;
        for first in (0..positions.len()).step_by(P) {
            // The last position stands in for those beyond the end, whose sums are dropped.
            let mut places = [[0; 2]; P];
            for (p, place) in places.iter_mut().enumerate() {
                *place = positions.at((first + p).min(positions.len() - 1));
            }
            let mut sums = [[simd.splat(0.0); C]; P];
            for row in 0..rows {
                let whole = run - run % S::LANES;
                // SAFETY: as the caller promises.
                unsafe {
                    let x = x.as_ptr().add(row * row_stride);
                    let w = w.as_ptr().add(row * run);
                    for k in (0..whole).step_by(S::LANES) {
                        let factors = array!(c < C => simd.load(w.add(c * rows * run + k)));
                        for p in 0..P {
                            let value = simd.load(x.add(places[p][0] + k));
                            multiply(simd, value, &factors, &mut sums[p]);
                        }
                    }
                    if whole < run {
                        let (x, w, rest) = (x.add(whole), w.add(whole), run - whole);
                        let factors = array!(c < C => simd.load_first(w.add(c * rows * run), rest));
                        for p in 0..P {
                            let value = simd.load_first(x.add(places[p][0]), rest);
                            multiply(simd, value, &factors, &mut sums[p]);
                        }
                    }
                }
            }
            let mut totals = [[0.0; C]; P];
            for p in 0..P {
                for c in 0..C {
                    totals[p][c] = simd.sum(sums[p][c]);
                }
            }
            for (totals, [_, at]) in totals.iter().zip(places).take(positions.len() - first) {
                let to = &mut to[at..][..C];
                match finish {
                    Finish::Add => to.iter_mut().zip(totals).for_each(|(to, sum)| *to += sum),
                    Finish::Activate { bias, .. } => {
                        for c in 0..C {
                            to[c] = totals[c] + bias[c];
                        }
                    }
                    Finish::Store | Finish::Slope { .. } => to.copy_from_slice(totals),
                }
            }
        }
    }
}

#[inline(always)]
fn multiply<S: Simd, const C: usize>(
    simd: S,
    value: S::V,
    factors: &[S::V; C],
    sums: &mut [S::V; C],
) {
    for c in 0..C {
        sums[c] = simd.fma(value, factors[c], sums[c]);
    }
}
