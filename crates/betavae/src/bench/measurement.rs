//! From times to a result.

use serde::Serialize;

use super::{Bench, BenchMode};
use crate::cpu;
use crate::data::ImageShape;
use crate::error::Result;
use crate::model::Architecture;
use crate::model::Precision;

/// Turns that steps and the measurement of the peak take, so that both see the same machine even
/// where it is slower for a while.
const ROUNDS: usize = 10;

/// The speed of one network beside the peak of the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Which network.
    pub architecture: Architecture,
    /// Images per step.
    pub batch: usize,
    /// Threads that shared the work.
    pub threads: usize,
    /// What one step was.
    pub mode: BenchMode,
    /// The numbers that were multiplied.
    pub precision: Precision,
    /// Shape [H, W, C] of the images.
    pub image: ImageShape,
    /// What the kernels used of the processor.
    pub instruction_set: &'static str,
    /// Median time of a step in milliseconds.
    pub median_ms: f64,
    /// A tenth of the steps were faster than this.
    pub p10_ms: f64,
    /// A tenth of the steps were slower than this.
    pub p90_ms: f64,
    /// Images per second at the median.
    pub images_per_second: f64,
    /// 10^9 floating point operations per second at the median, counted as in
    /// [`crate::model::Flops`].
    pub gflops: f64,
    /// The GPU that took the steps, if one did.
    pub gpu: Option<String>,
    /// 10^9 floating point operations per second that all threads reached in registers alone; the
    /// median over the same time. It is not known of GPUs.
    pub peak_gflops: Option<f64>,
    /// `gflops / peak_gflops`. An algorithm with fewer operations than the direct one, such as
    /// Winograd's, can bring it above 1.
    pub share_of_peak: Option<f64>,
    /// Version of this library.
    pub version: &'static str,
}

/// Takes `steps` steps, at least 1, and measures the machine's peak between them.
///
/// # Errors
/// As [`Bench::run`].
pub fn measure(bench: &mut Bench, steps: usize) -> Result<Measurement> {
    let steps = steps.max(1);
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS.min(steps) {
        if bench.gpu().is_none() {
            peaks.push(cpu::peak_gflops());
        }
        let until = steps * (round + 1) / ROUNDS.min(steps);
        seconds.extend(bench.run(until - seconds.len())?);
    }
    let options = bench.options().clone();
    let median = quantile(&mut seconds, 0.5);
    let gflops = bench.flops() as f64 / median / 1e9;
    let peak_gflops = (!peaks.is_empty()).then(|| quantile(&mut peaks, 0.5));
    Ok(Measurement {
        architecture: options.architecture,
        batch: options.batch,
        threads: rayon::current_num_threads(),
        mode: options.mode,
        precision: options.precision,
        image: options.image,
        instruction_set: cpu::instruction_set()?,
        median_ms: 1e3 * median,
        p10_ms: 1e3 * quantile(&mut seconds, 0.1),
        p90_ms: 1e3 * quantile(&mut seconds, 0.9),
        images_per_second: options.batch as f64 / median,
        gflops,
        gpu: bench.gpu().map(str::to_owned),
        peak_gflops,
        share_of_peak: peak_gflops.map(|peak| gflops / peak),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The value below which a share of the values lies, between the two nearest ones in proportion.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    disentanglement::quantile(values, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::bench::BenchOptions;

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [4.0, 1.0], 0.5), 2.5);
        assert_eq!(quantile(&mut [7.0], 0.9), 7.0);
    }

    #[test]
    fn as_many_steps_are_taken_as_were_asked_for() {
        let image = ImageShape::new(8, 8, 2);
        let options = BenchOptions { batch: 2, image, ..BenchOptions::new(Architecture::Burgess) };
        for mode in BenchMode::ALL {
            let mut bench =
                Bench::new(BenchOptions { mode, ..options.clone() }, &Device::flex()).unwrap();
            assert_eq!(bench.run(3).unwrap().len(), 3);
            let measured = measure(&mut bench, 13).unwrap();
            assert!(measured.p10_ms <= measured.median_ms && measured.median_ms <= measured.p90_ms);
        }
    }
}
