//! Notices codes that say nothing: loss B holds the KL at C by noise, while the reconstruction stays that of a blank image.

use burn::module::Module;

use crate::error::Result;
use crate::evaluate;
use crate::objective::Terms;
use crate::train::Trainer;

/// Images over which the blank image is averaged.
const IMAGES: usize = 500;
/// Capacity in nats below which there is nothing to notice.
const LEAST: f32 = 1.0;
/// Share of C within which the KL follows it.
const NEAR: f32 = 0.1;

/// Warns once in a session.
#[derive(Default)]
pub(super) struct EmptyCode {
    /// -ln p(x) of the best image that does not depend on the code, in nats; computed when it is needed.
    blank: Option<f32>,
    warned: bool,
}

impl EmptyCode {
    /// A warning if the KL follows C, and reconstruction and KL together are worse than a blank image, which needs no code:
    /// no nat of the code then pays for itself.
    pub(super) fn notice(
        &mut self,
        step: u64,
        mean: &Terms,
        trainer: &mut Trainer,
    ) -> Result<Option<String>> {
        let capacity = mean.weights.iter().find(|weight| weight.name == "capacity");
        let Some(capacity) = capacity.map(|weight| weight.value) else { return Ok(None) };
        let follows = capacity >= LEAST && (mean.kl() - capacity).abs() <= NEAR * capacity;
        if self.warned || !follows {
            return Ok(None);
        }
        let blank = match self.blank {
            Some(blank) => blank,
            None => {
                trainer.refresh()?;
                evaluate::blank_nll(&trainer.model().valid(), &**trainer.data(), IMAGES)? as f32
            }
        };
        self.blank = Some(blank);
        if mean.reconstruction() + mean.kl() < blank {
            return Ok(None);
        }
        self.warned = true;
        Ok(Some(format!(
            "at step {step} the KL is at C ({capacity:.1} nats), but the reconstruction ({:.0} nats) is that of a blank \
             image ({blank:.0} nats): the codes are noise. A smaller objective.gamma, or objective.c_start for a wait before \
             C rises, lets information in; `betavae advise` finds a gamma",
            mean.reconstruction()
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::Device;
    use crate::config::Recipe;
    use crate::data::Dataset;
    use crate::data::blobs::Blobs;
    use crate::run::{Observer, Run};

    #[derive(Default)]
    struct Warnings(Vec<String>);

    impl Observer for Warnings {
        fn warned(&mut self, warning: &str) {
            self.0.push(warning.to_owned());
        }
    }

    /// The warnings of a run on blobs with a likelihood.
    fn warnings(objective: &str, likelihood: &str) -> Vec<String> {
        let recipe = format!(
            "model = {{ architecture = 'custom', widths = [4, 4, 8], hidden = [16], latents = 4, {likelihood} }}
            optimizer.learning_rate = 1e-2
            train = {{ steps = 300, batch = 8, log_every = 10, previews = false, tensorboard = false }}
            objective = {{ kind = 'b', {objective} }}"
        );
        let data = Arc::new(Blobs::new());
        let config = Recipe::from_toml(&recipe).unwrap().resolve(data.shape()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let mut run = Run::create(&path, config, data, &Device::flex()).unwrap();
        let mut warnings = Warnings::default();
        run.train(&mut warnings).unwrap();
        warnings.0
    }

    #[test]
    fn noise_of_the_right_size_is_noticed_once() {
        for likelihood in ["likelihood = 'bernoulli'", "likelihood = 'gaussian', sigma = 1.0"] {
            let found = warnings("gamma = 10000.0, c_max = 3.0, c_steps = 100", likelihood);
            assert_eq!(found.len(), 1, "{likelihood}: {found:?}");
            assert!(found[0].contains("the codes are noise"), "{found:?}");
        }
    }

    #[test]
    fn codes_that_say_something_are_left_alone() {
        let found = warnings(
            "gamma = 20.0, c_max = 2.0, c_steps = 100, c_start = 100",
            "likelihood = 'gaussian', sigma = 0.02",
        );
        assert!(found.is_empty(), "{found:?}");
    }
}
