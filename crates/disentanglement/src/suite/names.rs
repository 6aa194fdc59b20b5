//! The names of scores, and what is known of a score by its name.

use crate::downstream::DOWNSTREAM_SIZES;

/// The names of scores, as in files and on the command line.
macro_rules! names {
    ($($variant:ident $name:literal,)*) => {
        /// A score.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ScoreName {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl ScoreName {
            /// Every score.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in files and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

names! {
    BetaVae "beta_vae",
    BetaVaeHiggins "beta_vae_higgins",
    FactorVae "factor_vae",
    Mig "mig",
    MigChen "mig_chen",
    Sap "sap",
    DciDisentanglement "dci_disentanglement",
    DciCompleteness "dci_completeness",
    DciInformativeness "dci_informativeness",
    Modularity "modularity",
    Explicitness "explicitness",
    Irs "irs",
    InfoM "infom",
    InfoE "infoe",
    InfoC "infoc",
    GaussianTotalCorrelation "gaussian_total_correlation",
    Wasserstein "wasserstein",
    MutualInformation "mutual_information",
    ActiveUnits "active_units",
    Boosting10 "downstream_boosting_10",
    Boosting100 "downstream_boosting_100",
    Boosting1000 "downstream_boosting_1000",
    Boosting10000 "downstream_boosting_10000",
    Logistic10 "downstream_logistic_10",
    Logistic100 "downstream_logistic_100",
    Logistic1000 "downstream_logistic_1000",
    Logistic10000 "downstream_logistic_10000",
    Udr "udr",
}

impl ScoreName {
    /// Whether factors enter it; the others are of codes alone.
    pub fn uses_factors(self) -> bool {
        let unsupervised = [
            Self::GaussianTotalCorrelation,
            Self::Wasserstein,
            Self::MutualInformation,
            Self::ActiveUnits,
            Self::Udr,
        ];
        !unsupervised.contains(&self)
    }

    /// Whether it is computed from all rows and nothing is drawn, so that it has no interval.
    pub fn is_exact(self) -> bool {
        self == Self::MigChen
    }

    /// The least and the largest value that it can have by its definition. A few of them may fall
    /// below in practice: `infoe` and an informativeness by the lasso, where predictions are worse
    /// than a guess.
    pub fn bounds(self) -> [f64; 2] {
        let unbounded = [
            Self::GaussianTotalCorrelation,
            Self::Wasserstein,
            Self::MutualInformation,
            Self::ActiveUnits,
        ];
        [0.0, if unbounded.contains(&self) { f64::INFINITY } else { 1.0 }]
    }

    /// Rows to learn from, of scores that are called by it.
    pub fn downstream_rows(self) -> Option<usize> {
        let place = |names: [Self; 4]| names.iter().position(|name| *name == self);
        place(BOOSTING).or(place(LOGISTIC)).map(|at| DOWNSTREAM_SIZES[at])
    }
}

pub(super) const BOOSTING: [ScoreName; 4] = [
    ScoreName::Boosting10,
    ScoreName::Boosting100,
    ScoreName::Boosting1000,
    ScoreName::Boosting10000,
];
pub(super) const LOGISTIC: [ScoreName; 4] = [
    ScoreName::Logistic10,
    ScoreName::Logistic100,
    ScoreName::Logistic1000,
    ScoreName::Logistic10000,
];
