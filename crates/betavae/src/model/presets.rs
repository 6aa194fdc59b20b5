//! Architectures by name.

use super::Architecture;

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 6] = [
        Self::Burgess,
        Self::HigginsFc,
        Self::HigginsConv,
        Self::Locatello,
        Self::PytorchVae,
        Self::Custom,
    ];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Burgess => "burgess",
            Self::HigginsFc => "higgins-fc",
            Self::HigginsConv => "higgins-conv",
            Self::Locatello => "locatello",
            Self::PytorchVae => "pytorch-vae",
            Self::Custom => "custom",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_configurations() {
        for architecture in Architecture::ALL {
            let written = serde_json::to_value(architecture).unwrap();
            assert_eq!(written, architecture.name());
        }
    }
}
