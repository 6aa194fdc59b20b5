//! A launch: a kernel, its constants, and how many workgroups run it.

use std::fmt::{self, Display, Write};

use betavae_kernels::Activation;

use super::code::Form;

/// The kernels, one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The images of a batch out of those that stay on the device.
    Gather,
    /// A layer that makes the small map, and what becomes of its sums.
    Down(End),
    /// A layer that makes the large map, and what becomes of its sums.
    Up(End),
    /// Gradients of weights.
    Weight,
    /// Gradients of biases.
    Bias,
    /// z and the KL.
    Sample,
    /// The posteriors of pairs of images.
    Pair,
    /// The gradients of what the encoder makes, from those of the posteriors of pairs.
    PairGradient,
    /// The covariance of the code.
    Covariance,
    /// Densities of samples under posteriors.
    Densities,
    /// Densities of samples under the aggregate posterior.
    Mixtures,
    /// The gradients of means and log-variances.
    Posterior(Form),
    /// The terms of the loss.
    Terms(Form),
    /// The sums of all gradients.
    Gradient,
    /// Adam or Adagrad.
    Update,
    /// Mean and squared deviations of parts of a batch.
    Moments,
    /// Statistics of a batch.
    NormStatistics,
    /// Batch normalisation.
    Normalise,
    /// Gradients of its shift and scale.
    NormSums,
    /// The gradient of its input.
    NormGradient,
    /// Its running averages.
    Running,
}

/// What becomes of the sums of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Bias and activation.
    Activation,
    /// A gradient, through the activation that made the map.
    Slope,
    /// The likelihood and its gradient.
    Nll,
}

impl Kernel {
    /// Its text, in WGSL, without the constants.
    pub(crate) fn source(self) -> String {
        let end = |end: End| match end {
            End::Activation => include_str!("../kernels/end_activation.wgsl"),
            End::Slope => include_str!("../kernels/end_slope.wgsl"),
            End::Nll => include_str!("../kernels/end_nll.wgsl"),
        };
        let code = include_str!("../kernels/code.wgsl");
        let mixture = include_str!("../kernels/mixture.wgsl");
        let shares = include_str!("../kernels/shares.wgsl");
        let constraint = |form: Form| match form {
            Form::Kl => vec![code, include_str!("../kernels/constraint_kl.wgsl")],
            Form::Covariance => vec![code, include_str!("../kernels/constraint_covariance.wgsl")],
            Form::Decomposition => {
                vec![code, mixture, include_str!("../kernels/constraint_decomposition.wgsl")]
            }
        };
        let product = include_str!("../kernels/product.wgsl");
        let address = include_str!("../kernels/address.wgsl");
        let files = match self {
            Self::Down(kind) => {
                vec![address, product, include_str!("../kernels/down.wgsl"), end(kind)]
            }
            Self::Up(kind) => vec![address, product, include_str!("../kernels/up.wgsl"), end(kind)],
            Self::Weight => vec![address, product, include_str!("../kernels/weight.wgsl")],
            Self::Gather => vec![include_str!("../kernels/gather.wgsl")],
            Self::Bias => vec![include_str!("../kernels/bias.wgsl")],
            Self::Sample => vec![code, include_str!("../kernels/sample.wgsl")],
            Self::Pair => vec![shares, include_str!("../kernels/pair.wgsl")],
            Self::PairGradient => vec![shares, include_str!("../kernels/pair_gradient.wgsl")],
            Self::Covariance => vec![code, include_str!("../kernels/covariance.wgsl")],
            Self::Densities => vec![code, mixture, include_str!("../kernels/densities.wgsl")],
            Self::Mixtures => vec![code, mixture, include_str!("../kernels/mixtures.wgsl")],
            Self::Posterior(form) => {
                [constraint(form), vec![include_str!("../kernels/posterior.wgsl")]].concat()
            }
            Self::Terms(form) => {
                [constraint(form), vec![include_str!("../kernels/terms.wgsl")]].concat()
            }
            Self::Gradient => vec![include_str!("../kernels/gradient.wgsl")],
            Self::Update => vec![include_str!("../kernels/update.wgsl")],
            Self::Moments => vec![include_str!("../kernels/moments.wgsl")],
            Self::NormStatistics => vec![include_str!("../kernels/norm_statistics.wgsl")],
            Self::Normalise => vec![include_str!("../kernels/normalise.wgsl")],
            Self::NormSums => vec![include_str!("../kernels/norm_sums.wgsl")],
            Self::NormGradient => vec![include_str!("../kernels/norm_gradient.wgsl")],
            Self::Running => vec![include_str!("../kernels/running.wgsl")],
        };
        [&[include_str!("../kernels/common.wgsl")], &files[..]].concat().join("\n")
    }

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Down(End::Activation) => "down, activation",
            Self::Down(End::Slope) => "down, slope",
            Self::Down(End::Nll) => "down, likelihood",
            Self::Up(End::Activation) => "up, activation",
            Self::Up(End::Slope) => "up, slope",
            Self::Up(End::Nll) => "up, likelihood",
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Sample => "sample",
            Self::Pair => "pair",
            Self::PairGradient => "pair gradient",
            Self::Covariance => "covariance",
            Self::Densities => "densities",
            Self::Mixtures => "mixtures",
            Self::Posterior(Form::Kl) => "posterior, KL",
            Self::Posterior(Form::Covariance) => "posterior, cov.",
            Self::Posterior(Form::Decomposition) => "posterior, TC",
            Self::Terms(Form::Kl) => "terms, KL",
            Self::Terms(Form::Covariance) => "terms, cov.",
            Self::Terms(Form::Decomposition) => "terms, TC",
            Self::Gradient => "gradient",
            Self::Update => "update",
            Self::Moments => "moments",
            Self::NormStatistics => "norm statistics",
            Self::Normalise => "normalise",
            Self::NormSums => "norm sums",
            Self::NormGradient => "norm gradient",
            Self::Running => "running",
        }
    }
}

/// The value of a constant in a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    Index(usize),
    Number(f64),
    Flag(bool),
}

impl Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(value) => write!(f, "u32 = {value}u"),
            // The shortest decimals that name the number, which every compiler reads as that number.
            Self::Number(value) => write!(f, "f32 = {:?}", *value as f32),
            Self::Flag(value) => write!(f, "bool = {value}"),
        }
    }
}

/// Workgroups along the first axis of a grid; more go on along the second.
const GRID_X: usize = 32_768;

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What it does in this network, such as `encoder.conv.0`.
    pub what: String,
    /// The kernel.
    pub kernel: Kernel,
    /// Workgroups of 256 invocations.
    pub groups: usize,
    /// Multiplications and additions.
    pub operations: u64,
    constants: Vec<(&'static str, Constant)>,
}

impl Launch {
    pub(super) fn new(
        what: impl Into<String>,
        kernel: Kernel,
        groups: usize,
        constants: Vec<(&'static str, Constant)>,
    ) -> Self {
        Self { what: what.into(), kernel, groups, operations: 0, constants }
    }

    /// The whole program of the kernel, in WGSL.
    pub fn source(&self) -> String {
        let mut text = String::new();
        let mut all =
            vec![("GROUPS", Constant::Index(self.groups)), ("GRID_X", Constant::Index(GRID_X))];
        all.extend_from_slice(&self.constants);
        // What all kernels share needs one, also in those that have none.
        if !all.iter().any(|(name, _)| *name == "ACTIVATION") {
            all.extend(activation_constants(Activation::Identity));
        }
        for (name, value) in all {
            let _ = writeln!(text, "const {name}: {value};");
        }
        text + &self.kernel.source()
    }

    /// Workgroups along each axis.
    pub(crate) fn grid(&self) -> [u32; 3] {
        let rows = self.groups.div_ceil(GRID_X);
        [self.groups.min(GRID_X) as u32, rows as u32, 1]
    }
}

/// Which activation it is, by the numbers of `common.wgsl`, and its slope below 0.
pub(super) fn activation_constants(activation: Activation) -> [(&'static str, Constant); 2] {
    let (number, slope) = match activation {
        Activation::Identity => (0, 1.0),
        Activation::Relu => (1, 0.0),
        Activation::LeakyRelu => (2, 0.01),
        Activation::LeakyRelu02 => (2, 0.2),
        Activation::Tanh => (3, 1.0),
    };
    [("ACTIVATION", Constant::Index(number)), ("NEGATIVE_SLOPE", Constant::Number(slope))]
}
