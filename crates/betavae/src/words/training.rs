//! What a configuration trains.

use super::thousands;
use crate::config::Config;
use crate::error::Result;
use crate::model::Likelihood;
use crate::objective::{Constraint, Reduction, beta_norm};

/// What a resolved configuration trains, as labels and sentences. `images` and `parameters` are counts.
///
/// # Errors
/// If the configuration is not valid.
pub fn training(
    config: &Config,
    data: &str,
    images: usize,
    parameters: usize,
) -> Result<Vec<(&'static str, String)>> {
    let (objective, likelihood) = config.objective()?;
    let shape = config.model.image;
    let values = shape.map_or(0, |shape| shape.values());
    let latents = config.model.latents;
    let norm = |beta: f64| beta_norm(beta, latents, values);
    let mut loss = match objective.constraint {
        Constraint::H { beta, warmup_steps } => {
            let norm = norm(beta);
            let warmup = match warmup_steps {
                0 => String::new(),
                steps => format!(", reached after {} steps", thousands(steps as usize)),
            };
            format!("H: reconstruction + {beta} * KL (beta_norm {norm:.4}){warmup}")
        }
        Constraint::B { gamma, c_min, c_max, c_steps } => format!(
            "B: reconstruction + {gamma} * |KL - C|, C from {c_min} to {c_max} nats in {} steps",
            thousands(c_steps as usize)
        ),
    };
    if let Reduction::Mean { kl_weight } = objective.reduction {
        let weight = objective.weight_in_nats(likelihood, values);
        let norm = norm(weight);
        loss += &format!(
            "; pixel means and kl_weight {kl_weight}: a weight of {weight:.4} in nats \
             (normalised {norm:.4})"
        );
    }
    let likelihood = match likelihood {
        Likelihood::Bernoulli => "Bernoulli".to_owned(),
        Likelihood::Gaussian { sigma } => format!("Gaussian, sigma {sigma}"),
    };
    let shape = shape.map(|shape| format!(" {shape}")).unwrap_or_default();
    let (steps, batch) = (thousands(config.train.steps as usize), config.train.batch);
    Ok(vec![
        ("data", format!("{data}: {} images{shape}", thousands(images))),
        (
            "network",
            format!(
                "{}, {latents} latents, {} parameters",
                config.model.architecture.name(),
                thousands(parameters)
            ),
        ),
        ("objective", loss),
        ("likelihood", likelihood),
        ("training", format!("{steps} steps of {batch} images, seed {}", config.seed)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_told_with_their_normalised_weights() {
        let told = |text: &str| {
            let (mut config, _) = Config::from_recipe(text, &[]).unwrap();
            config.resolve(crate::data::ImageShape::new(64, 64, 1)).unwrap();
            training(&config, "dsprites", 737_280, 502_005).unwrap()
        };
        let words = told("objective = { kind = 'h', beta = 4.0 }");
        assert_eq!(words[0].1, "dsprites: 737,280 images 64x64x1");
        assert_eq!(words[1].1, "burgess, 10 latents, 502,005 parameters");
        assert_eq!(words[2].1, "H: reconstruction + 4 * KL (beta_norm 0.0098)");
        let words = told("objective = { kind = 'b', gamma = 100, c_max = 25, c_steps = 100000 }");
        assert!(
            words[2].1.ends_with("|KL - C|, C from 0 to 25 nats in 100,000 steps"),
            "{words:?}"
        );
    }
}
