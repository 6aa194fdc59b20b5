//! How fast this machine multiplies and adds when nothing else holds it up: the ceiling beside which
//! the speed of a kernel can be judged.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::simd::{Kernel, Level, Simd, dispatch, level};

/// One measurement. Short, so that some of several fall between the interruptions by others.
const DURATION: Duration = Duration::from_millis(5);

const REPETITIONS: usize = 3;

/// Passes over the accumulators between two looks at the clock, about 10 microseconds.
const PASSES: usize = 4096;

/// 10^9 floating point operations per second, two per multiply-add, that all threads of the current
/// rayon pool reach together on f32 vectors of the instruction set in force, in registers alone.
///
/// The best of a few repetitions of 5 milliseconds.
pub fn peak_gflops() -> f64 {
    best(|| {
        let start = Instant::now();
        let operations = rayon::broadcast(|_| multiply_until(level(), start));
        operations.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64()
    })
}

/// [`peak_gflops`] of the current thread alone.
pub fn thread_peak_gflops() -> f64 {
    best(|| {
        let start = Instant::now();
        multiply_until(level(), start) as f64 / start.elapsed().as_secs_f64()
    })
}

/// Of a few rates per second, in 10^9.
fn best(rate: impl Fn() -> f64) -> f64 {
    (0..REPETITIONS).map(|_| rate()).fold(0.0, f64::max) / 1e9
}

/// Operations until [`DURATION`] after `start`; some, even if that is past, so that a thread held up
/// by other work has its turn.
fn multiply_until(level: Level, start: Instant) -> usize {
    let pass = || match level {
        // Each of its vectors takes two registers of SSE2, of which there are 16.
        Level::Portable => dispatch(level, Chains::<6>),
        // At least 10 chains hide the latency of two multiply-adds per cycle, and 12 leave two
        // of AVX2's 16 registers for the operands.
        Level::Avx2 | Level::Avx512 => dispatch(level, Chains::<12>),
    };
    let mut operations = pass();
    while start.elapsed() < DURATION {
        operations += pass();
    }
    operations
}

/// `CHAINS` independent chains of multiply-adds; returns the number of operations.
struct Chains<const CHAINS: usize>;

impl<const CHAINS: usize> Kernel for Chains<CHAINS> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        // x / 2 + 1 tends to 2: neither infinite nor subnormal. The compiler must know neither the
        // operands nor that any two chains are alike.
        let (factor, addend) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        let mut chains = [simd.splat(0.0); CHAINS];
        for (i, chain) in chains.iter_mut().enumerate() {
            *chain = simd.splat(black_box(i as f32));
        }
        for _ in 0..PASSES {
            for chain in &mut chains {
                *chain = simd.fma(*chain, factor, addend);
            }
        }
        // As a vector: a sum of its lanes would tempt the compiler to rearrange the chains.
        let mut sum = addend;
        for chain in chains {
            sum = simd.add(sum, chain);
        }
        black_box(sum);
        2 * CHAINS * S::LANES * PASSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_does_some_work() {
        let start = Instant::now();
        assert!(Level::supported().into_iter().all(|level| multiply_until(level, start) > 0));
        for peak in [peak_gflops(), thread_peak_gflops()] {
            assert!(peak.is_finite() && peak > 0.0, "{peak}");
        }
    }
}
