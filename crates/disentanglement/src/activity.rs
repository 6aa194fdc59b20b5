//! Which latents are used.

use serde::Serialize;

use crate::array::Codes;
use crate::error::{Error, Result};

/// Nats of KL, or variance of the mean, above which a latent counts as active.
pub const ACTIVE: f64 = 0.01;

/// The result of [`activity`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Activity {
    /// KL(q(z_d | x) || N(0, 1)) in nats, averaged over images, `[D]`.
    pub kl: Vec<f64>,
    /// The variance of the posterior's mean over images (divided by N), `[D]`.
    pub variance_of_mean: Vec<f64>,
    /// Latents with more than 0.01 nats of KL.
    pub active_by_kl: usize,
    /// Active units of Burda et al. 2016: latents whose mean varies by more than 0.01.
    pub active_units: usize,
}

/// How much each latent is used, from posterior means and log-variances [N, D].
///
/// # Errors
/// If the two differ in shape or are empty.
pub fn activity(mean: &Codes, log_var: &Codes) -> Result<Activity> {
    let shape = |codes: &Codes| [codes.len(), codes.latents()];
    if shape(mean) != shape(log_var) || mean.is_empty() {
        return Err(Error::Shape {
            what: "log_var".into(),
            expected: format!("the shape of the means, {:?}", shape(mean)),
            found: format!("{:?}", shape(log_var)),
        });
    }
    let images = mean.len() as f64;
    let mut kl = vec![0.0; mean.latents()];
    let mut variance_of_mean = vec![0.0; mean.latents()];
    for d in 0..mean.latents() {
        let (m, v) = (mean.latent(d), log_var.latent(d));
        let terms = m.iter().zip(&v).map(|(m, v)| 0.5 * (m * m + v.exp() - 1.0 - v));
        kl[d] = terms.sum::<f64>() / images;
        let centre = m.iter().sum::<f64>() / images;
        variance_of_mean[d] = m.iter().map(|m| (m - centre).powi(2)).sum::<f64>() / images;
    }
    let active = |values: &[f64]| values.iter().filter(|value| **value > ACTIVE).count();
    let (active_by_kl, active_units) = (active(&kl), active(&variance_of_mean));
    Ok(Activity { kl, variance_of_mean, active_by_kl, active_units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_and_unused_latents() {
        let mean = Codes::new(&[1.0, 0.0, -1.0, 0.0], 2).unwrap();
        let log_var = Codes::new(&[-2.0, 0.0, -2.0, 0.0], 2).unwrap();
        let found = activity(&mean, &log_var).unwrap();
        assert!((found.kl[0] - 0.5 * (1.0 + (-2.0f64).exp() + 1.0)).abs() < 1e-15);
        assert_eq!((found.kl[1], found.active_by_kl, found.active_units), (0.0, 1, 1));
        assert!(activity(&mean, &Codes::new(&[0.0, 0.0], 2).unwrap()).is_err());
    }
}
