//! Between encoder and decoder: what is sampled, what constrains it, and the way back.

use super::launch::Constant::{self, Flag, Index, Number};
use super::launch::{Kernel, Launch};
use super::{Builder, Loss};

/// What is added to the reconstruction, with up to three weights that each step brings along.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// beta * KL + gamma * |KL - C|: the weights are beta, gamma and C.
    Kl,
    /// beta * KL on pairs of images, of which the first halves of a batch and the second are the two sides. Latents whose
    /// posteriors differ little take one posterior for both sides (Locatello et al. 2020): the average of means and
    /// variances, or that of the product of the densities. The weights are those of `Kl`, and there is one more term, the number
    /// of latents that are shared.
    PairKl {
        /// Which average.
        of_product: bool,
    },
    /// KL + lambda_od * (squares of covariances) + lambda_d * (squares of variances - 1) (Kumar et al. 2018), of the means or of the
    /// samples: the weights are lambda_od and lambda_d, the further terms what they are multiplied by.
    Covariance {
        /// Whether the covariance is that of the samples.
        of_samples: bool,
    },
    /// alpha * MI + beta * TC + gamma * dimension-wise KL (Chen et al. 2018): the weights are alpha, beta and gamma, the further
    /// terms what they are multiplied by.
    Decomposition {
        /// The logarithms of the weights of a sample's own component of the aggregate posterior, of the next image's, and of the
        /// others.
        log_weights: [f64; 3],
    },
}

impl Constraint {
    /// How many terms it has beside the KL.
    pub(super) fn own_terms(self) -> usize {
        match self {
            Self::Kl => 0,
            Self::PairKl { .. } => 1,
            Self::Covariance { .. } => 2,
            Self::Decomposition { .. } => 3,
        }
    }

    fn form(self) -> Form {
        match self {
            Self::Kl | Self::PairKl { .. } => Form::Kl,
            Self::Covariance { .. } => Form::Covariance,
            Self::Decomposition { .. } => Form::Decomposition,
        }
    }
}

/// What a constraint is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The KL.
    Kl,
    /// The covariance of the code.
    Covariance,
    /// The densities of each sample under each posterior.
    Decomposition,
}

/// The code of a batch in a plan.
pub(super) struct Code {
    /// Samples [B, D].
    pub(super) z: usize,
    /// What the encoder makes, and what is sampled from.
    posterior: usize,
    /// Whether latents are shared between the sides of pairs, [B / 2, D], where there are pairs.
    shared: Option<usize>,
    form: Form,
    /// What all kernels of the code share.
    constants: Vec<(&'static str, Constant)>,
}

impl Builder {
    /// From means and log-variances [B, 2 D] to samples, the KL, and what the constraint is computed from.
    pub(super) fn code(&mut self, heads: usize, noise: usize, loss: &Loss) -> Code {
        let (batch, latents, constraint) = (self.plan.batch, self.plan.latents, loss.constraint);
        let (mut posterior, mut shared) = (heads, None);
        if let Constraint::PairKl { of_product } = constraint {
            posterior = self.map("posterior", batch * 2 * latents);
            let flags = self.map("shared latents", batch / 2 * latents);
            shared = Some(flags);
            let constants = vec![
                ("PAIRS", Index(batch / 2)),
                ("LATENTS", Index(latents)),
                ("HEADS", Index(heads)),
                ("POSTERIOR", Index(posterior)),
                ("SHARED", Index(flags)),
                ("OF_PRODUCT", Flag(of_product)),
            ];
            self.each("posteriors of pairs", Kernel::Pair, batch / 2, constants);
        }
        let (z, kl) = (self.map("z", batch * latents), self.map("kl", latents));
        let mut constants = vec![
            ("BATCH", Index(batch)),
            ("LATENTS", Index(latents)),
            ("HEADS", Index(posterior)),
            ("NOISE", Index(noise)),
            ("Z", Index(z)),
            ("KL", Index(kl)),
            ("CONSTRAINT_SCALE", Number(loss.constraint_factor)),
        ];
        self.launch(Launch::new("z and KL", Kernel::Sample, latents, constants.clone()));
        (self.plan.kl, self.plan.after_kl) = (kl, self.plan.launches.len());
        match constraint {
            Constraint::Kl | Constraint::PairKl { .. } => constants.extend([
                ("PAIRS", Index(shared.map_or(0, |_| batch / 2))),
                ("SHARED", Index(shared.unwrap_or_default())),
            ]),
            Constraint::Covariance { of_samples } => {
                constants.extend([
                    ("MEANS", Index(self.map("means", latents))),
                    ("COVARIANCE", Index(self.map("covariance", latents * latents))),
                    ("OF_SAMPLES", Flag(of_samples)),
                ]);
                let groups = latents * latents;
                let name = "covariance of the code";
                self.launch(Launch::new(name, Kernel::Covariance, groups, constants.clone()));
            }
            Constraint::Decomposition { log_weights: [own, next, other] } => {
                constants.extend([
                    ("DENSITIES", Index(self.map("densities", batch * batch))),
                    ("MIXTURES", Index(self.map("mixtures", batch * (latents + 1)))),
                    ("LOG_OWN", Number(own)),
                    ("LOG_NEXT", Number(next)),
                    ("LOG_OTHER", Number(other)),
                ]);
                let name = "densities of samples";
                self.each(name, Kernel::Densities, batch * batch, constants.clone());
                let (name, groups) = ("aggregate posterior", batch * (latents + 1));
                self.launch(Launch::new(name, Kernel::Mixtures, groups, constants.clone()));
            }
        }
        Code { z, posterior: heads, shared, form: constraint.form(), constants }
    }

    /// From the gradient by samples to that by means and log-variances. Returns where it is.
    pub(super) fn code_gradient(&mut self, code: &Code, z_gradient: usize, loss: &Loss) -> usize {
        let (batch, latents) = (self.plan.batch, self.plan.latents);
        let gradient = self.map("gradient of the posterior", batch * 2 * latents);
        let regions = [("Z_GRADIENT", Index(z_gradient)), ("HEADS_GRADIENT", Index(gradient))];
        let constants = [&code.constants[..], &regions].concat();
        let kernel = Kernel::Posterior(code.form);
        self.each("gradient of the posterior", kernel, batch * latents, constants);
        let (Some(shared), Constraint::PairKl { of_product }) = (code.shared, loss.constraint)
        else {
            return gradient;
        };
        let heads_gradient = self.map("gradient of heads", batch * 2 * latents);
        let constants = vec![
            ("PAIRS", Index(batch / 2)),
            ("LATENTS", Index(latents)),
            ("HEADS", Index(code.posterior)),
            ("SHARED", Index(shared)),
            ("OF_PRODUCT", Flag(of_product)),
            ("POSTERIOR_GRADIENT", Index(gradient)),
            ("HEADS_GRADIENT", Index(heads_gradient)),
        ];
        let values = batch / 2 * latents;
        self.each("gradient of heads", Kernel::PairGradient, values, constants);
        heads_gradient
    }

    /// The launch that sums up the terms of the loss. `losses` is where the parts of the NLL are, and how many.
    pub(super) fn terms(&mut self, code: &Code, [losses, loss_parts]: [usize; 2], loss: &Loss) {
        let mut constants = code.constants.clone();
        constants.extend([
            ("LOSSES", Index(losses)),
            ("LOSS_PARTS", Index(loss_parts)),
            ("ROW", Index(self.plan.row_len())),
            ("NLL_TO_TOTAL", Number(loss.nll_factor)),
            ("NLL_CONSTANT", Number(loss.nll_constant)),
            ("TOTAL_CONSTANT", Number(loss.constant)),
        ]);
        self.launch(Launch::new("terms of the loss", Kernel::Terms(code.form), 1, constants));
    }
}
