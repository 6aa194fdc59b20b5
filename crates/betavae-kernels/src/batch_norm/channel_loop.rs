//! Loops over pixels with a value per channel in registers, for the kernels of batch norm.

use crate::simd::{Simd, array};

/// A loop over some pixels that keeps its values per channel in registers.
pub(super) trait ChannelLoop {
    /// Runs the loop for `G` vectors of channels from `c` on, of which the last has `lanes`.
    ///
    /// # Safety
    /// Those channels exist.
    unsafe fn run_channels<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize);
}

/// Runs a loop for all channels, as many at a time as there are registers for. Each run reads the pixels
/// in order.
#[inline(always)]
pub(super) fn for_all_channels<S: Simd>(
    simd: S,
    channels: usize,
    channel_loop: &mut impl ChannelLoop,
) {
    let mut c = 0;
    while c < channels {
        // SAFETY: c + (G - 1) LANES + lanes <= channels.
        c += unsafe {
            if channels - c >= 4 * S::LANES {
                channel_loop.run_channels::<S, 4>(simd, c, S::LANES);
                4 * S::LANES
            } else if channels - c >= 2 * S::LANES {
                channel_loop.run_channels::<S, 2>(simd, c, S::LANES);
                2 * S::LANES
            } else {
                channel_loop.run_channels::<S, 1>(simd, c, S::LANES.min(channels - c));
                S::LANES
            }
        };
    }
}

/// Loads `G` vectors from `from` on, the last of `lanes`.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn load<S: Simd, const G: usize>(
    simd: S,
    from: *const f32,
    lanes: usize,
) -> [S::V; G] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut values = [simd.splat(0.0); G];
        for g in 0..G {
            let from = from.add(g * S::LANES);
            values[g] = if g + 1 == G && lanes < S::LANES {
                simd.load_first(from, lanes)
            } else {
                simd.load(from)
            };
        }
        values
    }
}

/// Loads `G` vectors from channel `c` on, of each of several slices with a value per channel.
///
/// # Safety
/// Those channels are readable in each slice.
#[inline(always)]
pub(super) unsafe fn load_channels<S: Simd, const G: usize, const N: usize>(
    simd: S,
    values: [&[f32]; N],
    c: usize,
    lanes: usize,
) -> [[S::V; G]; N] {
    // SAFETY: as the caller promises.
    unsafe { array!(n < N => load::<S, G>(simd, values[n].as_ptr().add(c), lanes)) }
}

/// Stores `G` vectors from `to` on, the last of `lanes`.
///
/// # Safety
/// They are writable.
#[inline(always)]
pub(super) unsafe fn store<S: Simd, const G: usize>(
    simd: S,
    to: *mut f32,
    values: [S::V; G],
    lanes: usize,
) {
    for g in 0..G {
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(g * S::LANES);
            if g + 1 == G && lanes < S::LANES {
                simd.store_first(to, values[g], lanes);
            } else {
                simd.store(to, values[g]);
            }
        }
    }
}
