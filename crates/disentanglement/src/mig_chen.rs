//! Mutual information gap with the information of the posteriors themselves.

use rayon::prelude::*;

use crate::array::{Codes, Factors, Matrix};
use crate::error::{Error, Result};
use crate::information::entropy;
use crate::mig::Mig;

/// Distance of grid points in standard deviations of the narrowest posterior. A sum over such a grid
/// differs from the integral of a Gaussian by e^(-2 π² / h²) of it, here less than 10^-34.
const STEP: f64 = 0.5;

/// Standard deviations after which a Gaussian is cut off; what is lost is below 10^-18 of it.
const REACH: f64 = 9.0;

/// Grid points at most. Posteriors too narrow for so many are widened to the grid's resolution.
const POINTS: usize = 1 << 17;

/// Images per task.
const CHUNK: usize = 1 << 13;

/// MIG as Chen et al. 2018 define it: z is drawn from the posterior, and its information about a
/// factor is that of the mixtures of posteriors
///
/// I(z_d; v_k) = H(z_d) - Σ_v p(v) H(z_d | v_k = v), p(z_d) = 1/N Σ_n N(z_d; μ_nd, σ²_nd)
///
/// Their code estimates each entropy from 10,000 draws of z; here it is integrated numerically over
/// all N posteriors, so nothing is drawn and the value is exact to about ten digits. Factors are
/// divided by their entropy H(v_k), which for a full grid is their log |V_k|.
///
/// Their results on dSprites leave out the shape: pass `factors` without it to compare.
///
/// `progress` is called with the number of latents done.
///
/// # Errors
/// If shapes differ or there are no rows.
pub fn mig_chen(
    mean: &Codes,
    log_var: &Codes,
    factors: &Factors,
    progress: impl Fn(usize) + Sync,
) -> Result<Mig> {
    let shape = [mean.len(), mean.latents()];
    if [log_var.len(), log_var.latents()] != shape || factors.len() != shape[0] || shape[0] == 0 {
        return Err(Error::Shape {
            what: "log_var and factors".into(),
            expected: format!("log_var {shape:?} and {} rows of factors", shape[0].max(1)),
            found: format!(
                "log_var {:?} and {} rows of factors",
                [log_var.len(), log_var.latents()],
                factors.len()
            ),
        });
    }
    let mut information = Matrix::zeros(mean.latents(), factors.count());
    for latent in 0..mean.latents() {
        let of_latent = latent_information(&mean.latent(latent), &log_var.latent(latent), factors);
        information.row_mut(latent).copy_from_slice(&of_latent);
        progress(latent + 1);
    }
    let entropies = (0..factors.count()).map(|k| entropy(&factors.factor(k))).collect();
    Ok(Mig::of(information, entropies))
}

/// Equally spaced points that reach beyond all posteriors of a latent.
struct Grid {
    first: f64,
    step: f64,
    points: usize,
}

impl Grid {
    fn new(mean: &[f64], deviation: &[f64]) -> Self {
        let ends = mean.iter().zip(deviation).map(|(m, s)| [m - REACH * s, m + REACH * s]);
        let [low, high] = ends.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], [a, b]| {
            [low.min(a), high.max(b)]
        });
        let narrowest = deviation.iter().copied().fold(f64::INFINITY, f64::min);
        let step = (STEP * narrowest).max((high - low) / POINTS as f64);
        Self { first: low, step, points: ((high - low) / step).ceil() as usize + 2 }
    }

    /// Calls `f(first point, values)` with a posterior's density on the points it reaches, times the
    /// step.
    fn density(&self, mean: f64, deviation: f64, values: &mut Vec<f64>) -> usize {
        let deviation = deviation.max(self.step / STEP);
        let place = |x: f64| ((x - self.first) / self.step).clamp(0.0, (self.points - 1) as f64);
        let start = place(mean - REACH * deviation).ceil() as usize;
        let end = place(mean + REACH * deviation).floor() as usize;
        let middle = (place(mean).round() as usize).clamp(start, end.max(start));
        values.clear();
        values.resize(end.max(start) + 1 - start, 0.0);
        // From one point to the next a Gaussian changes by a factor that itself changes by a constant
        // one: two multiplications in place of an exponential.
        let h = self.step / deviation;
        let x = (self.first + middle as f64 * self.step - mean) / deviation;
        let peak = h * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let bend = (-h * h).exp();
        let (up, down) = values.split_at_mut(middle - start);
        let (mut value, mut factor) = (peak, (-h * x - 0.5 * h * h).exp());
        for to in down {
            *to = value;
            value *= factor;
            factor *= bend;
        }
        let (mut value, mut factor) = (peak, (h * x - 0.5 * h * h).exp());
        for to in up.iter_mut().rev() {
            value *= factor;
            factor *= bend;
            *to = value;
        }
        start
    }
}

/// I(z; v_k) of one latent and each factor.
fn latent_information(mean: &[f64], log_var: &[f64], factors: &Factors) -> Vec<f64> {
    let deviation: Vec<f64> = log_var.iter().map(|v| (0.5 * v).exp()).collect();
    let grid = Grid::new(mean, &deviation);
    // For each factor and class, the sum of densities.
    let classes: usize = factors.sizes().iter().sum();
    let chunk_sums = |chunk: usize| {
        let mut sums = vec![0.0; classes * grid.points];
        let mut values = Vec::new();
        for row in chunk * CHUNK..mean.len().min((chunk + 1) * CHUNK) {
            let start = grid.density(mean[row], deviation[row], &mut values);
            let mut first = 0;
            for (class, size) in factors.row(row).iter().zip(factors.sizes()) {
                let to = &mut sums[(first + *class as usize) * grid.points + start..];
                to.iter_mut().zip(&values).for_each(|(to, value)| *to += value);
                first += size;
            }
        }
        sums
    };
    // A few chunks at a time, added in order: the result does not depend on the threads.
    let chunks = mean.len().div_ceil(CHUNK);
    let mut sums = vec![0.0; classes * grid.points];
    for first in (0..chunks).step_by(8) {
        let some: Vec<_> = (first..chunks.min(first + 8)).into_par_iter().map(chunk_sums).collect();
        for part in some {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
    let mut counts: Vec<Vec<usize>> = factors.sizes().iter().map(|size| vec![0; *size]).collect();
    for row in 0..factors.len() {
        let classes = factors.row(row).iter().zip(&mut counts);
        classes.for_each(|(class, counts)| counts[*class as usize] += 1);
    }
    let mut sums = sums.chunks_exact(grid.points);
    let of_factor = |counts: &Vec<usize>| {
        let densities: Vec<&[f64]> = (&mut sums).take(counts.len()).collect();
        let mut all = vec![0.0; grid.points];
        for density in &densities {
            all.iter_mut().zip(*density).for_each(|(sum, p)| *sum += p);
        }
        let total = mean.len() as f64;
        let within: f64 = densities
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|(density, count)| {
                *count as f64 / total * differential_entropy(density, *count as f64, grid.step)
            })
            .sum();
        (differential_entropy(&all, total, grid.step) - within).max(0.0)
    };
    counts.iter().map(of_factor).collect()
}

/// -∫ p ln p for the sum of `count` densities, each times the step.
fn differential_entropy(sums: &[f64], count: f64, step: f64) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * (p / step).ln() } else { 0.0 };
    sums.iter().map(|sum| term(sum / count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mean: &[f64], log_var: &[f64], factors: &[i64]) -> Mig {
        let codes = |values| Codes::new(values, 1).unwrap();
        let factors = Factors::new(factors, 1).unwrap();
        mig_chen(&codes(mean), &codes(log_var), &factors, |_| ()).unwrap()
    }

    #[test]
    fn information_of_known_mixtures() {
        // Far apart, all is told; with the same posterior for all, nothing.
        let apart = found(&[0.0, 100.0, 0.0, 100.0], &[0.0, -2.0, 0.0, -2.0], &[0, 1, 0, 1]);
        assert!((apart.score - 1.0).abs() < 1e-12, "{apart:?}");
        let same = found(&[0.0; 4], &[0.0; 4], &[0, 1, 0, 1]);
        assert!(same.score < 1e-12);
        // Two unit Gaussians at -1 and 1: I = H(mixture) - ½ ln(2 π e), where scipy's quadrature
        // gives 0.3369... bits as ln; here against a sum on a much finer grid.
        let near = found(&[-1.0, 1.0], &[0.0, 0.0], &[0, 1]);
        let step = 1e-4;
        let gauss = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let mixture: f64 = (-120_000..120_000)
            .map(|i| {
                let x = f64::from(i) * step;
                let p = 0.5 * (gauss(x - 1.0) + gauss(x + 1.0));
                if p > 0.0 { -step * p * p.ln() } else { 0.0 }
            })
            .sum();
        let expected = mixture - 0.5 * (std::f64::consts::TAU * std::f64::consts::E).ln();
        assert!((near.information[[0, 0]] - expected).abs() < 1e-9, "{near:?} {expected}");
    }

    #[test]
    fn very_narrow_posteriors_do_not_exhaust_memory() {
        let narrow = found(&[-3.0, 3.0, -3.0, 3.0], &[-60.0, 0.0, -60.0, 0.0], &[0, 1, 0, 1]);
        assert!((narrow.score - 1.0).abs() < 0.1, "{narrow:?}");
    }
}
