//! Interventional robustness score.

use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::information::equal_width_bins;
use crate::statistics;

/// Settings of [`irs`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IrsSettings {
    /// Which quantile of the deviations counts as the largest.
    pub quantile: f64,
    /// Bins of equal width that the classes of a factor fall into.
    pub factor_bins: usize,
}

/// As in disentanglement_lib (`irs.gin`).
impl Default for IrsSettings {
    fn default() -> Self {
        Self { quantile: 0.99, factor_bins: 20 }
    }
}

/// The result of [`irs`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Irs {
    /// The mean over latents, weighted by their largest deviation; 0 if all are constant.
    pub score: f64,
    /// For each latent the largest of its row, `[D]`; 0 for a constant one.
    pub per_latent: Vec<f64>,
    /// 1 - deviation within a factor's class / largest deviation, [D, K]; 0 for constant latents.
    pub matrix: Matrix,
    /// Number of latents that vary.
    pub active_latents: usize,
}

/// How still a latent stands while all factors but one change (Suter et al. 2019):
///
/// IRS_dk = 1 - mean_v q(|z_d - E[z_d | v_k = v]| given v_k = v) / max |z_d - E z_d|
///
/// with q the 99 % quantile. Convention of disentanglement_lib (`irs.py`): the classes of each
/// factor are first binned to 20; constant latents are left out.
pub fn irs(data: &Labelled, settings: IrsSettings) -> Irs {
    let (codes, factors) = (data.codes(), data.factors());
    let groups: Vec<Vec<Vec<usize>>> = (0..factors.count())
        .map(|k| {
            let classes: Vec<f64> = factors.factor(k).into_iter().map(f64::from).collect();
            let mut groups = vec![Vec::new(); settings.factor_bins];
            let bins = equal_width_bins(&classes, settings.factor_bins);
            bins.iter().enumerate().for_each(|(row, bin)| groups[*bin as usize].push(row));
            groups.retain(|rows| !rows.is_empty());
            groups
        })
        .collect();
    let mut matrix = Matrix::zeros(codes.latents(), factors.count());
    let mut weights = Vec::new();
    for latent in 0..codes.latents() {
        let values = codes.latent(latent);
        let center = mean(values.iter().copied());
        let largest = values.iter().map(|z| (z - center).abs()).fold(0.0, f64::max);
        let varies = values.iter().any(|z| *z != values[0]);
        weights.push(if varies { largest } else { 0.0 });
        if !varies {
            continue;
        }
        for (k, groups) in groups.iter().enumerate() {
            let deviation = |rows: &Vec<usize>| {
                let center = mean(rows.iter().map(|row| values[*row]));
                let mut away: Vec<f64> =
                    rows.iter().map(|row| (values[*row] - center).abs()).collect();
                quantile(&mut away, settings.quantile)
            };
            matrix[[latent, k]] = 1.0 - mean(groups.iter().map(deviation)) / largest;
        }
    }
    let per_latent: Vec<f64> =
        (0..codes.latents()).map(|d| matrix.row(d).iter().copied().fold(0.0, f64::max)).collect();
    let total: f64 = weights.iter().sum();
    let weighted: f64 = per_latent.iter().zip(&weights).map(|(score, weight)| score * weight).sum();
    let score = if total > 0.0 { weighted / total } else { 0.0 };
    let active_latents = weights.iter().filter(|weight| **weight > 0.0).count();
    Irs { score, per_latent, matrix, active_latents }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Interpolated linearly between the two nearest, as numpy does. `values` is not empty.
fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    statistics::quantile(values, p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn ideal_and_constant_codes() {
        let ideal = grid(|y| vec![y[0] as f64, y[1] as f64, 0.5 * y[2] as f64]);
        assert!((irs(&ideal, IrsSettings::default()).score - 1.0).abs() < 1e-12);
        let constant = irs(&grid(|_| vec![2.0]), IrsSettings::default());
        assert_eq!((constant.score, constant.active_latents), (0.0, 0));
    }

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.75), 2.5);
        assert_eq!(quantile(&mut [4.0], 0.99), 4.0);
    }
}
