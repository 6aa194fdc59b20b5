//! Which beta, gamma and C suit a data set and a network, from short runs.
//!
//! The advice on C is that of the authors of loss B (C. Burgess, public discussion of a re-implementation, 2018): C
//! should end near the KL of a model with a low beta that reconstructs well. Gamma is bounded from above: while C is 0,
//! loss B is loss H with beta = gamma, and information only comes in below the beta at which loss H gives up its latents.
//! Above, the KL is held at C by codes that say nothing, and then nothing is left that would pay for turning them into
//! information. So gammas are tried from that bound downwards, with a wait before C rises, until the codes of a short run
//! say something.

use std::sync::Arc;

use serde::Serialize;

use super::{Progress, go_on};
use crate::Device;
use crate::config::Recipe;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::numbers::{round_step, short};
use crate::objective::{LossB, LossH, ObjectiveKind, beta_norm};
use crate::train::Trainer;

/// Steps of a run at least: its curves are means over hundredths of them.
pub const LEAST_STEPS: u64 = 100;
/// Images at least.
const LEAST_IMAGES: usize = 10;
/// Fewer images than this are learned by heart in a short run.
const FEW_IMAGES: usize = 1000;
/// The betas that are tried, until a model gives up its latents.
const BETAS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];
/// A KL below this share of that at beta 1 means that a model gave up.
const GIVEN_UP: f64 = 0.05;
/// Gammas that are tried.
const GAMMAS: usize = 4;
/// Each is smaller by this than the one before, and the first than a beta at which latents are kept; then rounded up to 1,
/// 2 or 5 of its decade, and so less than before in any case.
const LOWER: f64 = 2.5;
/// The share of a run with loss B in which C waits at 0.
const WAIT: f64 = 0.2;
/// A reconstruction is good that has come this share of the way from that of given-up latents to that of beta 1.
const GOOD: f64 = 0.7;

/// What a short run with loss H came to, averaged over its last tenth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probe {
    /// Its beta.
    pub beta: f64,
    /// beta * D / (H W C).
    pub beta_norm: f64,
    /// KL in nats per image.
    pub kl: f64,
    /// -ln p(x | z) in nats per image.
    pub reconstruction: f64,
    /// Latents with more than 0.01 nats of KL.
    pub active: usize,
    /// By which share the KL grew over the second half of the run.
    pub growth: f64,
}

/// What a short run with loss B came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracking {
    /// Its gamma.
    pub gamma: f64,
    /// The largest distance of the KL from C in nats after the first fifth, over means of 1 % of the steps.
    pub distance: f64,
    /// -ln p(x | z) in nats per image, over the last tenth.
    pub reconstruction: f64,
}

/// Where to start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// Steps of each run.
    pub steps: u64,
    /// The runs with loss H, by rising beta.
    pub probes: Vec<Probe>,
    /// The runs with loss B, by falling gamma.
    pub tracking: Vec<Tracking>,
    /// Where C should end, in nats; absent if even beta 1 leaves the latents unused.
    pub c_max: Option<f64>,
    /// The weight of |KL - C|; absent if none was found that works.
    pub gamma: Option<f64>,
    /// The betas between which to look; absent if even beta 1 leaves the latents unused.
    pub beta: Option<[f64; 2]>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// Trains short runs of `steps` steps from the same initial weights and concludes. The objective of the recipe
/// is replaced; all else is taken as it is.
///
/// # Errors
/// If there are fewer than 100 steps or 10 images, the recipe does not fit the data, an image
/// cannot be read, or the caller stops it.
pub fn advise(
    recipe: &Recipe,
    data: Arc<dyn Dataset>,
    steps: u64,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Advice> {
    check(steps, data.len())?;
    let mut probes: Vec<Probe> = Vec::new();
    for beta in BETAS {
        let objective = ObjectiveKind::H(LossH { beta: beta.into() });
        let stage = format!("loss H, beta {beta}");
        let curve = short_run(&stage, recipe, objective, data.clone(), steps, device, progress)?;
        let norm = beta_norm(beta, recipe.model.latents, data.shape().values());
        probes.push(Probe::new(beta, norm, &curve));
        let given_up = GIVEN_UP * probes[0].kl.max(1.0);
        if probes.last().is_some_and(|probe| probe.kl < given_up) {
            break;
        }
    }
    let (mut advice, mut gamma) = conclude(steps, data.len(), probes);
    let Some(c_max) = advice.c_max else { return Ok(advice) };
    let wait = (WAIT * steps as f64) as u64;
    for _ in 0..GAMMAS {
        let objective = ObjectiveKind::B(LossB {
            gamma: gamma.into(),
            c_max,
            c_start: wait,
            c_steps: steps - wait,
            ..LossB::default()
        });
        let stage = format!("loss B, gamma {gamma}");
        let curve = short_run(&stage, recipe, objective, data.clone(), steps, device, progress)?;
        let distance = distance(&curve, c_max);
        let reconstruction = mean(&curve[90..], 1);
        advice.tracking.push(Tracking { gamma, distance, reconstruction });
        if reconstruction <= advice.good() {
            break;
        }
        gamma = round_step(gamma / LOWER);
    }
    advice.conclude_gamma(c_max);
    Ok(advice)
}

/// Refuses what no conclusion can be drawn from.
fn check(steps: u64, images: usize) -> Result<()> {
    if steps < LEAST_STEPS {
        let message = format!("expected at least {LEAST_STEPS} steps for each run, found {steps}");
        return Err(Error::config(message, ""));
    }
    if images < LEAST_IMAGES {
        return Err(Error::Mismatch {
            what: "images to advise on".into(),
            expected: format!("at least {LEAST_IMAGES}, and better thousands"),
            found: images.to_string(),
            hint: "a model learns a handful of images by heart, with any beta".into(),
        });
    }
    Ok(())
}

/// KL, reconstruction and active latents of a run: means over each hundredth of its steps.
type Curve = Vec<[f64; 3]>;

fn short_run(
    stage: &str,
    recipe: &Recipe,
    objective: ObjectiveKind,
    data: Arc<dyn Dataset>,
    steps: u64,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Curve> {
    let recipe = Recipe { objective: objective.into(), ..recipe.clone() };
    let mut trainer = Trainer::new(recipe.resolve(data.shape())?, data, device)?;
    let (mut curve, mut sums, mut count) = (Curve::new(), [0.0; 3], 0.0);
    for step in 1..=steps {
        go_on(progress)?;
        let terms = trainer.step()?;
        let values = [terms.kl(), terms.reconstruction(), terms.active_latents() as f32];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
        count += 1.0;
        // As even as whole steps allow.
        if step * 100 / steps > (step - 1) * 100 / steps {
            curve.push(sums.map(|sum| sum / count));
            (sums, count) = ([0.0; 3], 0.0);
        }
        progress.stepped(stage, step, steps);
    }
    Ok(curve)
}

fn mean(rows: &[[f64; 3]], term: usize) -> f64 {
    rows.iter().map(|row| row[term]).sum::<f64>() / rows.len().max(1) as f64
}

impl Probe {
    fn new(beta: f64, beta_norm: f64, curve: &Curve) -> Self {
        let (before, last) = (&curve[40..50], &curve[90..]);
        let kl = mean(last, 0);
        let growth = kl / mean(before, 0).max(f64::MIN_POSITIVE) - 1.0;
        let active = mean(last, 2).round() as usize;
        Self { beta, beta_norm, kl, reconstruction: mean(last, 1), active, growth }
    }
}

/// The largest distance of the KL from a C that rose evenly to `c_max` after its wait.
fn distance(curve: &Curve, c_max: f64) -> f64 {
    let middle = |i: usize| ((i as f64 + 0.5) / curve.len() as f64 - WAIT) / (1.0 - WAIT) * c_max;
    let rows = curve.iter().enumerate().skip((WAIT * curve.len() as f64) as usize);
    rows.map(|(i, [kl, ..])| (kl - middle(i)).abs()).fold(0.0, f64::max)
}

/// C, beta and, beside the advice, the first gamma to try, from runs with loss H on so many images.
fn conclude(steps: u64, images: usize, probes: Vec<Probe>) -> (Advice, f64) {
    let low = &probes[0];
    let mut reasons = Vec::new();
    if images < FEW_IMAGES {
        reasons.push(format!(
            "{images} images are few: runs of {steps} steps learn them by heart, and what follows holds for \
             these images only, not for more of their kind."
        ));
    }
    if low.kl < 1.0 {
        reasons.push(
            "Even beta 1 leaves the latents unused, so no setting can be advised. Either the runs are too \
             short, or the likelihood values details so little that no nat pays: with a Gaussian, try a \
             smaller sigma."
                .into(),
        );
        let (tracking, gamma) = (Vec::new(), f64::NAN);
        let none =
            Advice { steps, probes, tracking, c_max: None, gamma: None, beta: None, reasons };
        return (none, gamma);
    }
    // Half nats below ten, whole ones above.
    let c_max = if low.kl < 10.0 { (2.0 * low.kl).round() / 2.0 } else { low.kl.round() };
    let c_max = c_max.max(1.0);
    reasons.push(format!(
        "C_max {}: after {steps} steps a model with beta {} uses {} nats in {} latents.",
        short(c_max),
        low.beta,
        short(low.kl),
        low.active,
    ));
    if low.growth > 0.03 {
        reasons.push(format!(
            "That KL grew by {:.0} % over the second half of the run and is not at its end: longer trainings use \
             more, and more --steps find a larger C_max.",
            100.0 * low.growth
        ));
    }
    let gave_up = probes.iter().find(|probe| probe.kl < GIVEN_UP * low.kl.max(1.0));
    let kept = probes.iter().rev().find(|probe| probe.kl >= GIVEN_UP * low.kl.max(1.0));
    let gamma = round_step(kept.unwrap_or(low).beta / LOWER);
    // From the first beta that costs information to the last that leaves a third of it in two latents or more.
    let costs = probes.iter().find(|probe| probe.kl < 0.85 * low.kl).unwrap_or(low);
    let keeps = |probe: &&Probe| probe.kl >= low.kl / 3.0 && probe.active >= low.active.min(2);
    let last = probes.iter().rev().find(keeps).unwrap_or(low);
    let beta = [costs.beta.min(last.beta), last.beta];
    reasons.push(if beta[0] == beta[1] {
        format!(
            "beta {}: the last of these at which a third of the information is left (KL {} nats). More beta \
             disentangles more and blurs more.",
            beta[0],
            short(last.kl),
        )
    } else {
        format!(
            "beta {} to {}: from where pressure costs information (KL {} nats) to where a third of it is left \
             (KL {} nats). Within, more beta disentangles more and blurs more.",
            beta[0],
            beta[1],
            short(probes.iter().find(|probe| probe.beta == beta[0]).unwrap_or(low).kl),
            short(last.kl),
        )
    });
    if let Some(gave_up) = gave_up {
        reasons.push(format!(
            "At beta {} the model gives up its latents: gamma has to be below, as loss B is loss H with beta = gamma while \
             C is 0.",
            gave_up.beta
        ));
    }
    let (tracking, c_max, beta) = (Vec::new(), Some(c_max), Some(beta));
    (Advice { steps, probes, tracking, c_max, gamma: None, beta, reasons }, gamma)
}

impl Advice {
    /// What a reconstruction must be to be called good.
    fn good(&self) -> f64 {
        let best = self.probes[0].reconstruction;
        let worst = self.probes.iter().map(|probe| probe.reconstruction).fold(best, f64::max);
        worst + GOOD * (best - worst)
    }

    /// The largest gamma with a good reconstruction, and why.
    fn conclude_gamma(&mut self, c_max: f64) {
        let good = self.good();
        let empty: Vec<String> = self
            .tracking
            .iter()
            .filter(|tried| tried.reconstruction > good)
            .map(|tried| {
                format!("{} (reconstruction {})", short(tried.gamma), short(tried.reconstruction))
            })
            .collect();
        let chosen = self.tracking.iter().find(|tried| tried.reconstruction <= good);
        let Some(chosen) = chosen else {
            self.reasons.push(format!(
                "No setting of loss B can be advised: in runs of {} steps no gamma filled C with information: {}. \
                 Longer runs may find one.",
                self.steps,
                empty.join(", "),
            ));
            return;
        };
        let gamma = chosen.gamma;
        let wait = (WAIT * self.steps as f64) as u64;
        self.gamma = Some(gamma);
        let mut reason = format!(
            "gamma {}: while C waited at 0 for {} steps and rose to {} in {}, the KL was at most {} nats off, and the \
             reconstruction came to {} nats.",
            short(gamma),
            wait,
            short(c_max),
            self.steps - wait,
            short(chosen.distance),
            short(chosen.reconstruction),
        );
        if !empty.is_empty() {
            reason += &format!(
                " Larger ones held the KL with codes that say nothing: {}. They need longer trainings.",
                empty.join(", ")
            );
        }
        self.reasons.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::blobs::Blobs;

    fn probe(beta: f64, kl: f64, active: usize) -> Probe {
        let reconstruction = if beta == 1.0 { 100.0 } else { 600.0 };
        Probe { beta, beta_norm: beta / 400.0, kl, reconstruction, active, growth: 0.0 }
    }

    #[test]
    fn conclusions_follow_the_probes() {
        let probes = vec![
            probe(1.0, 18.2, 10),
            probe(4.0, 12.0, 6),
            probe(16.0, 7.0, 4),
            probe(64.0, 3.0, 2),
            probe(256.0, 0.01, 0),
        ];
        let (mut advice, first) = conclude(3000, 5000, probes);
        // Below 64, where two latents were left.
        assert_eq!((advice.c_max, first, advice.beta), (Some(18.0), 50.0, Some([4.0, 16.0])));
        let tried = |gamma, distance, reconstruction| Tracking { gamma, distance, reconstruction };
        advice.tracking = vec![tried(50.0, 0.1, 580.0), tried(20.0, 0.4, 190.0)];
        assert_eq!(advice.good(), 600.0 - 0.7 * 500.0);
        advice.conclude_gamma(18.0);
        assert_eq!(advice.gamma, Some(20.0));
        let reason = advice.reasons.last().unwrap();
        assert!(reason.contains("gamma 20") && reason.contains("nothing: 50"), "{reason}");
        assert!(reason.contains("waited at 0 for 600 steps and rose to 18 in 2400"), "{reason}");
        assert!(advice.reasons.iter().any(|reason| reason.starts_with("At beta 256 ")));
        // Every beta kept its latents, and rounding does not go above them.
        for beta in BETAS {
            let (_, first) = conclude(3000, 5000, vec![probe(1.0, 18.2, 10), probe(beta, 9.0, 2)]);
            assert!(first < beta && first * 3.0 > beta, "{first} for {beta}");
        }
    }

    #[test]
    fn what_was_rejected_is_not_advised() {
        let probes = vec![probe(1.0, 18.2, 10), probe(4.0, 3.0, 1), probe(16.0, 0.1, 0)];
        let (mut advice, _) = conclude(3000, 12, probes);
        assert_eq!(advice.beta, Some([1.0, 1.0]));
        assert!(advice.reasons.iter().any(|reason| reason.starts_with("beta 1: ")), "{advice:?}");
        assert!(advice.reasons[0].contains("12 images are few"), "{advice:?}");
        advice.tracking = vec![Tracking { gamma: 0.005, distance: 0.1, reconstruction: 580.0 }];
        advice.conclude_gamma(18.0);
        assert_eq!(advice.gamma, None);
        let last = advice.reasons.last().unwrap();
        assert!(last.contains("No setting of loss B can be advised"), "{last}");
    }

    #[test]
    fn too_little_to_conclude_from_is_refused() {
        let error = check(99, 5000).unwrap_err().to_string();
        assert!(error.contains("at least 100 steps") && error.contains("99"), "{error}");
        let error = check(100, 1).unwrap_err().to_string();
        assert!(error.contains("images to advise on") && error.ends_with("found 1"), "{error}");
        assert!(check(100, 10).is_ok());
    }

    #[test]
    fn unused_latents_are_said() {
        let (advice, _) = conclude(3000, 5000, vec![probe(1.0, 0.02, 0)]);
        assert_eq!((advice.c_max, advice.gamma, advice.beta), (None, None, None));
        assert!(advice.reasons.iter().any(|reason| reason.contains("sigma")));
    }

    #[test]
    fn distance_is_measured_after_the_wait() {
        let curve: Curve = (0..100)
            .map(|i| [if i < 20 { 50.0 } else { (i as f64 - 19.5) / 8.0 + 0.25 }, 0.0, 0.0])
            .collect();
        assert!((distance(&curve, 10.0) - 0.25).abs() < 1e-9);
    }

    /// What was done, and how many steps more may be taken.
    struct Stages {
        names: Vec<String>,
        left: u64,
    }

    impl Progress for Stages {
        fn stepped(&mut self, stage: &str, step: u64, _: u64) {
            if step == 1 {
                self.names.push(stage.to_owned());
            }
            self.left -= 1;
        }

        fn should_stop(&mut self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn blobs_are_probed_until_latents_are_given_up() {
        let recipe =
            "model = { architecture = 'custom', widths = [4, 4, 8], hidden = [16], latents = 4 }
            train = { batch = 8 }";
        let recipe = Recipe::from_toml(recipe).unwrap();
        let (device, data) = (Device::flex(), Arc::new(Blobs::new()));
        let mut stages = Stages { names: Vec::new(), left: u64::MAX };
        let advice = advise(&recipe, data.clone(), 100, &device, &mut stages).unwrap();
        assert_eq!(stages.names.len(), advice.probes.len() + advice.tracking.len());
        assert_eq!(stages.names[0], "loss H, beta 1");
        let mut impatient = Stages { names: Vec::new(), left: 30 };
        let stopped = advise(&recipe, data, 100, &device, &mut impatient).unwrap_err();
        assert!(matches!(stopped, Error::Stopped) && impatient.names.len() == 1);
        assert!(advice.probes.windows(2).all(|pair| pair[0].beta * 4.0 == pair[1].beta));
        assert!(advice.c_max.is_some_and(|c_max| c_max >= 1.0) && advice.reasons.len() >= 3);
        let good = advice.tracking.iter().any(|tried| tried.reconstruction <= advice.good());
        assert_eq!(advice.gamma.is_some(), good);
    }
}
