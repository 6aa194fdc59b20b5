//! Measures the machine's peak in multiply-adds, with which the speed of a kernel can be compared. No
//! kernel is measured here.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::simd::{Simd, SimdKernel, SimdLevel, dispatch, simd_level};

/// How long one measurement takes. It is short, so that some of several are not interrupted by other
/// programs.
const DURATION: Duration = Duration::from_millis(5);

const REPETITIONS: usize = 3;

/// Multiply-adds of each accumulator between two readings of the clock, about 10 microseconds.
const ROUNDS: usize = 4096;

/// The peak in GFLOP/s: 10^9 floating point operations per second, two per multiply-add, that all
/// threads of the current rayon pool reach together on f32 vectors of [`simd_level`](crate::simd_level)
/// without reading memory. It is the best of a few repetitions of 5 milliseconds.
pub fn peak_gflops() -> f64 {
    best(|| {
        let start = Instant::now();
        let operations = rayon::broadcast(|_| multiply_until(simd_level(), start));
        operations.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64()
    })
}

/// The same as [`peak_gflops`], of the current thread alone.
pub fn thread_peak_gflops() -> f64 {
    best(|| {
        let start = Instant::now();
        multiply_until(simd_level(), start) as f64 / start.elapsed().as_secs_f64()
    })
}

/// The highest of a few rates per second, in 10^9.
fn best(rate: impl Fn() -> f64) -> f64 {
    (0..REPETITIONS).map(|_| rate()).fold(0.0, f64::max) / 1e9
}

/// Runs multiply-adds until [`DURATION`] after `start` and returns the number of operations. A thread
/// that starts later than that still runs some.
fn multiply_until(level: SimdLevel, start: Instant) -> usize {
    let round = || match level {
        // Each of its vectors takes two registers of SSE2, of which there are 16.
        SimdLevel::Portable => dispatch(level, Chains::<6>),
        // At least 10 chains hide the latency of two multiply-adds per cycle, and 12 leave two
        // of AVX2's 16 registers for the operands.
        SimdLevel::Avx2 | SimdLevel::Avx512 => dispatch(level, Chains::<12>),
    };
    let mut operations = round();
    while start.elapsed() < DURATION {
        operations += round();
    }
    operations
}

/// `CHAINS` independent chains of multiply-adds; returns the number of operations.
struct Chains<const CHAINS: usize>;

impl<const CHAINS: usize> SimdKernel for Chains<CHAINS> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        // x / 2 + 1 tends to 2, which is neither infinite nor subnormal. `black_box` hides the operands
        // from the compiler, and that all chains do the same.
        let (factor, addend) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        let mut chains = [simd.splat(0.0); CHAINS];
        for (i, chain) in chains.iter_mut().enumerate() {
            *chain = simd.splat(black_box(i as f32));
        }
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = simd.fma(*chain, factor, addend);
            }
        }
        // The sum stays a vector, because the compiler might rearrange the chains for a sum of lanes.
        let mut sum = addend;
        for chain in chains {
            sum = simd.add(sum, chain);
        }
        black_box(sum);
        2 * CHAINS * S::LANES * ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_does_some_work() {
        let start = Instant::now();
        assert!(SimdLevel::supported().into_iter().all(|level| multiply_until(level, start) > 0));
        for peak in [peak_gflops(), thread_peak_gflops()] {
            assert!(peak.is_finite() && peak > 0.0, "{peak}");
        }
    }
}
