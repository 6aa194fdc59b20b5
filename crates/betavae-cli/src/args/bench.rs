//! Arguments of measurements of time.

use betavae::bench::BenchMode;
use betavae::data::ImageShape;
use betavae::model::{Architecture, Precision};
use betavae::objective::ObjectiveKind;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::values::{count, one_of};

/// Measure the time of a step beside what this machine could do
///
/// Reports images per second, and floating point operations per second as a share of the peak: what
/// all threads reach in multiply-adds on registers, measured in turns with the steps. Operations are
/// those of the direct algorithms, so a cleverer one can exceed 100 %.
///
/// The kernels use the fastest instruction set the processor has. The environment variable
/// BETAVAE_SIMD chooses another for any command: `portable`, `avx2` or `avx512`.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae bench
  betavae bench --architecture all --threads 1
  betavae bench --architecture pytorch-vae --mode encode --batch 256 --json
  betavae bench --objective factor-vae
  betavae bench --architecture pytorch-vae --layers
  BETAVAE_SIMD=portable betavae bench")]
pub struct Bench {
    /// Which network; `all` measures every published one
    #[arg(long, value_name = "NAME", default_value = "burgess", value_parser = architectures())]
    pub architecture: Architectures,

    /// Images per step
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = count)]
    pub batch: usize,

    /// Number of steps that are measured
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
    pub steps: usize,

    /// The kernels of each convolution on one thread, or each launch of a step on a GPU, in place of whole steps
    #[arg(long, conflicts_with_all = ["steps", "mode", "serve"])]
    pub layers: bool,

    /// Whole optimisation steps, or images to codes
    #[arg(long, default_value = "train", value_parser = one_of(&BenchMode::ALL, BenchMode::name))]
    pub mode: BenchMode,

    /// The numbers that are multiplied
    #[arg(long, default_value = "f32", value_parser = one_of(&Precision::ALL, Precision::name))]
    pub precision: Precision,

    /// What is minimised, with its default settings
    #[arg(long, value_name = "KIND", default_value = "h", value_parser = objectives())]
    pub objective: ObjectiveKind,

    /// Shape of the images [default: 64x64x1, for pytorch-vae 64x64x3]
    #[arg(long, value_name = "HxWxC", value_parser = image)]
    pub image: Option<ImageShape>,

    /// Print JSON: one object, or an array for `all`
    #[arg(long)]
    pub json: bool,

    /// Take steps as told by lines on stdin
    #[arg(long, hide = true, conflicts_with_all = ["json", "steps"])]
    pub serve: bool,
}

/// The networks to measure.
#[derive(Clone, Copy)]
pub enum Architectures {
    All,
    One(Architecture),
}

fn architectures() -> impl TypedValueParser<Value = Architectures> {
    let all = Architecture::ALL;
    PossibleValuesParser::new(["all"].into_iter().chain(all.map(Architecture::name))).map(
        move |text| {
            let one = all.into_iter().find(|one| one.name() == text);
            one.map_or(Architectures::All, Architectures::One)
        },
    )
}

fn image(text: &str) -> Result<ImageShape, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=4096).contains(side));
    match text.split('x').map(side).collect::<Option<Vec<usize>>>().as_deref() {
        Some(&[height, width, channels]) => Ok(ImageShape::new(height, width, channels)),
        _ => Err("expected height x width x channels, such as 64x64x3".into()),
    }
}

/// Reads the name of an objective.
fn objectives() -> impl TypedValueParser<Value = ObjectiveKind> {
    let find = |text: String| ObjectiveKind::all().into_iter().find(|kind| kind.name() == text);
    PossibleValuesParser::new(ObjectiveKind::all().map(|kind| kind.name()))
        .map(move |text| find(text).unwrap_or_else(|| unreachable!("clap has checked the name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_shapes_have_three_positive_numbers() {
        assert_eq!(image("48x64x3"), Ok(ImageShape::new(48, 64, 3)));
        assert!(["64x64", "64x0x1", "64x64x3x1", "axbxc", ""].iter().all(|s| image(s).is_err()));
    }
}
