//! The terms of a loss as numbers with names and units, as metrics, windows, checkpoints and pages know them.

use super::batch::Facts;
use crate::numbers::short;

/// Latents with a KL above this many nats carry information.
pub const ACTIVE_NATS: f32 = 0.01;

/// In which unit a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nats per image.
    Nats,
    /// That of the reduction: nats per image for sums, else PyTorch-VAE's.
    Loss,
    /// A plain number: a weight, a count, a share.
    Number,
}

impl Unit {
    /// What stands behind a number, such as ` nats`; nothing for plain numbers.
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::Nats => " nats",
            Unit::Loss | Unit::Number => "",
        }
    }
}

/// A number with its name in `metrics.csv`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Such as `reconstruction`.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// The number.
    pub value: f32,
}

impl Term {
    /// A term of this name.
    pub fn new(name: &'static str, unit: Unit, value: f64) -> Self {
        Self { name, unit, value: value as f32 }
    }
}

/// The terms of a loss, of one step or averaged over several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// `total`, `reconstruction`, `kl`, and what the objective adds to them, in its order.
    pub losses: Vec<Term>,
    /// KL of each latent in nats, `[D]`.
    pub kl_per_latent: Vec<f32>,
    /// What the objective weighs its terms with at the newest step, such as `beta` or `capacity`.
    pub weights: Vec<Term>,
}

impl Terms {
    /// The losses that every objective has, in this order.
    pub const COMMON: [(&'static str, Unit); 3] =
        [("total", Unit::Loss), ("reconstruction", Unit::Nats), ("kl", Unit::Nats)];

    /// What is minimised: nats per image with sum reduction, else in PyTorch-VAE's unit.
    pub fn total(&self) -> f32 {
        self.loss("total")
    }

    /// Mean of -ln p(x | z) in nats per image.
    pub fn reconstruction(&self) -> f32 {
        self.loss("reconstruction")
    }

    /// KL in nats per image.
    pub fn kl(&self) -> f32 {
        self.loss("kl")
    }

    fn loss(&self, name: &str) -> f32 {
        let found = self.losses.iter().find(|term| term.name == name);
        found.unwrap_or_else(|| unreachable!("every objective has {name}")).value
    }

    /// Number of latents with more than [`ACTIVE_NATS`] of KL.
    pub fn active_latents(&self) -> usize {
        self.kl_per_latent.iter().filter(|kl| **kl > ACTIVE_NATS).count()
    }

    /// Every number with its name, in the order of `metrics.csv`.
    pub fn rows(&self) -> Vec<(String, f32)> {
        let named = |term: &Term| (term.name.to_owned(), term.value);
        let mut rows: Vec<_> = self.losses.iter().chain(&self.weights).map(named).collect();
        rows.push(("active_latents".to_owned(), self.active_latents() as f32));
        let latents = self.kl_per_latent.iter().enumerate();
        rows.extend(latents.map(|(j, kl)| (format!("kl_{j}"), *kl)));
        rows
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        format!(
            "loss {:.2}  rec {:.2}  KL {:.2}  active {}/{}  {}",
            self.total(),
            self.reconstruction(),
            self.kl(),
            self.active_latents(),
            self.kl_per_latent.len(),
            self.weights_in_words(),
        )
    }

    /// The objective's own terms and weights, such as `beta 4  beta_norm 0.00977`.
    pub fn weights_in_words(&self) -> String {
        let word = |term: &Term| {
            format!("{} {}{}", term.name, short(f64::from(term.value)), term.unit.suffix())
        };
        let own = self.losses.iter().skip(Self::COMMON.len());
        own.chain(&self.weights).map(word).collect::<Vec<_>>().join("  ")
    }

    /// The first number that is infinite or not a number.
    pub(crate) fn first_non_finite(&self) -> Option<(String, f32)> {
        let latents = self.kl_per_latent.iter().enumerate();
        let latents = latents.map(|(j, kl)| (format!("the KL of latent {j}"), *kl));
        let name = |term: &Term| {
            let name = if term.name == "total" { "the loss" } else { term.name };
            (name.to_owned(), term.value)
        };
        // The whole comes last, because a part of it says more.
        let (total, parts): (Vec<_>, Vec<_>) =
            self.losses.iter().partition(|term| term.name == "total");
        let parts = parts.into_iter().map(name).chain(latents);
        let mut all = parts.chain(total.into_iter().map(name));
        all.find(|(_, value)| !value.is_finite())
    }
}

/// Higgins et al.'s beta_norm = beta * D / (H * W * C): the weight between a mean over pixels and a
/// mean over latents, which can be compared between data sets and latent sizes.
pub fn beta_norm(beta: f64, latents: usize, image_values: usize) -> f64 {
    beta * latents as f64 / image_values as f64
}

/// Beta in force, and beta_norm, as terms.
pub(super) fn beta_terms(beta: f64, facts: &Facts) -> [Term; 2] {
    let norm = beta_norm(beta, facts.latents, facts.image_values);
    [Term::new("beta", Unit::Number, beta), Term::new("beta_norm", Unit::Number, norm)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            losses: vec![
                Term::new("total", Unit::Loss, 14.0),
                Term::new("reconstruction", Unit::Nats, 10.0),
                Term::new("kl", Unit::Nats, 0.75),
                Term::new("tc", Unit::Nats, 0.25),
            ],
            kl_per_latent: vec![0.75, 0.0],
            weights: vec![Term::new("beta", Unit::Number, 4.0)],
        }
    }

    #[test]
    fn rows_are_in_the_order_of_metrics() {
        let rows = terms().rows();
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["total", "reconstruction", "kl", "tc", "beta", "active_latents", "kl_0", "kl_1"];
        assert_eq!(names, expected);
        assert_eq!((rows[2].1, rows[5].1), (0.75, 1.0));
    }

    #[test]
    fn terms_are_told_with_their_units() {
        let line = terms().summary();
        assert_eq!(line, "loss 14.00  rec 10.00  KL 0.75  active 1/2  tc 0.25 nats  beta 4");
        assert_eq!(beta_norm(4.0, 10, 4096), 0.009765625);
    }

    #[test]
    fn the_part_that_is_not_finite_is_named_before_the_whole() {
        let mut terms = terms();
        assert_eq!(terms.first_non_finite(), None);
        terms.losses[0].value = f32::NAN;
        terms.kl_per_latent[1] = f32::INFINITY;
        assert_eq!(terms.first_non_finite().unwrap().0, "the KL of latent 1");
        terms.kl_per_latent[1] = 0.0;
        assert_eq!(terms.first_non_finite().unwrap().0, "the loss");
    }
}
