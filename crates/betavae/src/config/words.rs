//! What a configuration trains.

use super::resolved::Config;
use crate::model::Likelihood;
use crate::words::thousands;

impl Config {
    /// What is trained, as labels and sentences. `images` and `parameters` are counts.
    pub fn in_words(
        &self,
        data: &str,
        images: usize,
        parameters: usize,
    ) -> Vec<(&'static str, String)> {
        let likelihood = match self.likelihood() {
            Likelihood::Bernoulli => "Bernoulli".to_owned(),
            Likelihood::Gaussian { sigma } => format!("Gaussian, sigma {sigma}"),
        };
        let (model, train) = (self.model(), self.train());
        let network = format!(
            "{}, {} latents, {} parameters",
            model.architecture().name(),
            model.latents(),
            thousands(parameters)
        );
        let steps = thousands(train.steps as usize);
        vec![
            ("data", format!("{data}: {} images {}", thousands(images), self.image())),
            ("network", network),
            ("objective", self.objective_in_words()),
            ("likelihood", likelihood),
            ("training", format!("{steps} steps of {} images, seed {}", train.batch, self.seed())),
        ]
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn objectives_are_told_with_their_normalised_weights() {
        let told = |text: &str| {
            let recipe = crate::config::Recipe::from_toml(text).unwrap();
            let config = recipe.resolve(crate::data::ImageShape::new(64, 64, 1)).unwrap();
            config.in_words("dsprites", 737_280, 502_005)
        };
        let words = told("objective = { kind = 'h', beta = 4.0 }");
        assert_eq!(words[0].1, "dsprites: 737,280 images 64x64x1");
        assert_eq!(words[1].1, "burgess, 10 latents, 502,005 parameters");
        assert_eq!(words[2].1, "loss H: reconstruction + 4 * KL (beta_norm 0.0098)");
        let words = told("objective = { kind = 'b', gamma = 100, c_max = 25, c_steps = 100000 }");
        assert!(
            words[2].1.ends_with("|KL - C|, C from 0 to 25 nats in 100,000 steps"),
            "{words:?}"
        );
    }
}
