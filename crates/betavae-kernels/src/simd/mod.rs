//! The vector operations that kernels use, as a trait that each instruction set implements, and the choice
//! of an instruction set at run time. There are no kernels here.
//!
//! Kernels are written once, generic over [`Simd`]. Each instruction set is a token that exists only where
//! the processor supports it, so its arithmetic is safe to call, and only loads and stores through
//! pointers are unsafe. [`dispatch`] compiles a kernel once per instruction set, inside a function that
//! enables it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

use crate::bf16;
use crate::indirect_gemm::IndirectGemm;

/// Vectors of f32 and the operations on them. All operations are lane by lane.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector.
    type V: Copy;
    /// The number of f32 in a vector.
    const LANES: usize;
    /// The lanes of a register tile, which is the width of packed weights.
    const PANEL: usize = 2 * Self::LANES;

    fn splat(self, x: f32) -> Self::V;

    /// # Safety
    /// `LANES` floats are readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// # Safety
    /// `LANES` floats are writable at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// a * b + c, rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Rounds to the nearest integer.
    fn round(self, a: Self::V) -> Self::V;
    /// 2^n for integers from -126 to 127.
    fn pow2(self, n: Self::V) -> Self::V;
    /// `a` where `c` > 0, else `b` (also where `c` is NaN).
    fn where_positive(self, c: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Each lane of `a` and `b` is a pair of bf16: the products of the low halves and of the high halves are
    /// added to `c`.
    fn dot_pairs(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// Rounds the lanes of `low` and then of `high` to bf16, and puts two neighbours in each lane.
    #[inline(always)]
    fn pair_neighbours(self, low: Self::V, high: Self::V) -> Self::V {
        emulated::pair_neighbours(self, low, high)
    }

    /// Rounds each lane of `low` and of `high` to bf16, and puts the two in the same lane.
    #[inline(always)]
    fn pair_lanes(self, low: Self::V, high: Self::V) -> Self::V {
        emulated::pair_lanes(self, low, high)
    }

    /// The sum of all lanes, always in the same order.
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; 16];
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        let mut width = Self::LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }

    /// Loads the first `count` lanes; the others are 0.
    ///
    /// # Safety
    /// `count.min(LANES)` floats are readable at `from`.
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V {
        // SAFETY: as the caller promises; the copy holds 16 floats, at least LANES.
        unsafe {
            if count >= Self::LANES {
                return self.load(from);
            }
            let mut lanes = [0.0f32; 16];
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            self.load(lanes.as_ptr())
        }
    }

    /// Writes the first `count` lanes.
    ///
    /// # Safety
    /// `count.min(LANES)` floats are writable at `to`.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as the caller promises; the copy holds 16 floats, at least LANES.
        unsafe {
            if count >= Self::LANES {
                return self.store(to, v);
            }
            let mut lanes = [0.0f32; 16];
            self.store(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }

    /// Computes an [`IndirectGemm`] with the register tile for the number of registers.
    fn indirect_gemm(self, gemm: &IndirectGemm<'_>, out: &mut [f32]);
}

/// `[value for 0, .., value for n - 1]`, n > 0. Kernels use this instead of `std::array::from_fn`: a
/// closure that the compiler does not inline is compiled for the baseline instruction set, with a call
/// for every operation on vectors.
macro_rules! array {
    ($i:ident < $n:expr => $value:expr) => {{
        let mut values = {
            let $i = 0;
            [$value; $n]
        };
        for $i in 1..$n {
            values[$i] = $value;
        }
        values
    }};
}
pub(crate) use array;

/// Packing of bf16 for processors without instructions for it.
mod emulated {
    use super::{Simd, bf16};

    #[inline(always)]
    pub(super) fn pair_neighbours<S: Simd>(simd: S, low: S::V, high: S::V) -> S::V {
        let (mut from, mut to) = ([0.0; 32], [0.0; 16]);
        // SAFETY: no instruction set here has more than 16 lanes.
        unsafe {
            simd.store(from.as_mut_ptr(), low);
            simd.store(from.as_mut_ptr().add(S::LANES), high);
            for i in 0..S::LANES {
                to[i] = bf16::pair(from[2 * i], from[2 * i + 1]);
            }
            simd.load(to.as_ptr())
        }
    }

    #[inline(always)]
    pub(super) fn pair_lanes<S: Simd>(simd: S, low: S::V, high: S::V) -> S::V {
        let mut lanes = [[0.0; 16]; 2];
        // SAFETY: as above.
        unsafe {
            simd.store(lanes[0].as_mut_ptr(), low);
            simd.store(lanes[1].as_mut_ptr(), high);
            let to = array!(i < 16 => bf16::pair(lanes[0][i], lanes[1][i]));
            simd.load(to.as_ptr())
        }
    }
}

/// A computation generic over the instruction set.
pub(crate) trait SimdKernel {
    type Output;
    /// Implementations must be `#[inline(always)]`, so that their code is compiled for the instruction set
    /// of the function that calls them.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A set of vector instructions for which kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    /// Plain Rust over arrays of eight; the compiler makes SSE2, NEON or WASM vectors of it.
    Portable,
    /// AVX2 and FMA: 8 lanes.
    Avx2,
    /// AVX-512 F: 16 lanes.
    Avx512,
}

impl SimdLevel {
    /// `portable`, `avx2` or `avx512`, as in the environment variable `BETAVAE_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            SimdLevel::Portable => "portable",
            SimdLevel::Avx2 => "avx2",
            SimdLevel::Avx512 => "avx512",
        }
    }

    /// [`Simd::PANEL`] of the instruction set.
    pub(crate) fn panel(self) -> usize {
        match self {
            SimdLevel::Portable => Portable::PANEL,
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 => Avx2::PANEL,
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 => Avx512::<false>::PANEL,
            #[cfg(not(target_arch = "x86_64"))]
            _ => Portable::PANEL,
        }
    }

    /// All levels this processor supports, the fastest last.
    pub fn supported() -> Vec<SimdLevel> {
        let portable = [SimdLevel::Portable];
        #[cfg(target_arch = "x86_64")]
        return (portable.into_iter())
            .chain(Avx2::new().map(|_| SimdLevel::Avx2))
            .chain(Avx512::<false>::new().map(|_| SimdLevel::Avx512))
            .collect();
        #[cfg(not(target_arch = "x86_64"))]
        portable.to_vec()
    }
}

/// The level that the environment variable `BETAVAE_SIMD` names, else the fastest. It is read once.
///
/// # Errors
/// If the variable names no level, or one that this processor lacks.
pub fn checked_simd_level() -> Result<SimdLevel, String> {
    static LEVEL: OnceLock<Result<SimdLevel, String>> = OnceLock::new();
    LEVEL.get_or_init(|| choose(std::env::var("BETAVAE_SIMD").ok().as_deref())).clone()
}

/// [`checked_simd_level`], where a wrong `BETAVAE_SIMD` counts as unset.
pub fn simd_level() -> SimdLevel {
    checked_simd_level().unwrap_or_else(|_| choose(None).unwrap_or(SimdLevel::Portable))
}

fn choose(wanted: Option<&str>) -> Result<SimdLevel, String> {
    let supported = SimdLevel::supported();
    let wanted = match wanted {
        None | Some("") => return Ok(supported[supported.len() - 1]),
        Some(wanted) => wanted,
    };
    supported.iter().copied().find(|level| level.name() == wanted).ok_or_else(|| {
        let names: Vec<_> = supported.iter().map(|level| level.name()).collect();
        format!("BETAVAE_SIMD: expected one of {}, found {wanted:?}", names.join(", "))
    })
}

/// Runs a kernel compiled for `level`. If the processor does not support it, which
/// [`SimdLevel::supported`] tells, the portable kernel runs.
pub(crate) fn dispatch<K: SimdKernel>(level: SimdLevel, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx512 => match (Avx512::<true>::new(), Avx512::<false>::new()) {
            // SAFETY: the token proves that the processor has the features the function enables.
            (Some(simd), _) => unsafe { avx512::run_bf16(simd, kernel) },
            // SAFETY: as above.
            (None, Some(simd)) => unsafe { avx512::run(simd, kernel) },
            (None, None) => kernel.run(Portable),
        },
        #[cfg(target_arch = "x86_64")]
        SimdLevel::Avx2 => match Avx2::new() {
            // SAFETY: as above.
            Some(simd) => unsafe { avx2::run(simd, kernel) },
            None => kernel.run(Portable),
        },
        _ => kernel.run(Portable),
    }
}

/// Offset and number of lanes of each vector of `len` floats.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(S::LANES).map(move |offset| (offset, (len - offset).min(S::LANES)))
}

/// Implements [`Simd::indirect_gemm`] for register tiles of so many positions by 2 vectors, and of a half
/// for what is left over.
macro_rules! gemm_tile {
    ($positions:literal, $half:literal) => {
        #[inline(always)]
        fn indirect_gemm(self, gemm: &$crate::indirect_gemm::IndirectGemm<'_>, out: &mut [f32]) {
            $crate::indirect_gemm::indirect_gemm_tiled::<Self, $positions, $half>(self, gemm, out);
        }
    };
}
use gemm_tile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_level_is_refused_with_the_choices() {
        let message = choose(Some("sse9")).unwrap_err();
        assert!(message.contains("sse9") && message.contains("portable"), "{message}");
        assert_eq!(choose(Some("portable")), Ok(SimdLevel::Portable));
        assert_eq!(choose(None), Ok(*SimdLevel::supported().last().unwrap()));
    }
}
