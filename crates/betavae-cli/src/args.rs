//! Every command, argument and help text.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use betavae::Device;
use betavae::bench::Mode;
use betavae::data::ImageShape;
use betavae::figures::FigureName;
use betavae::model::Architecture;
use betavae::model::Precision;
use betavae::scores::{DciWith, ScoreName};
use betavae::studies::LEAST_STEPS;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Train, measure and look at beta-VAEs.
///
/// MODEL is a run folder, one of its checkpoints, or a .safetensors file written by betavae.
/// INPUT is a data set name (see `betavae data list`) or your own images: an .npz, .npy or .h5 file, a folder
/// or archive (.zip, .tar) of image files, WebDataset shards, or Parquet files.
#[derive(Parser)]
#[command(name = "betavae", version, propagate_version = true)]
pub struct Arguments {
    /// Where to compute
    #[arg(long, global = true, default_value = "cpu", value_name = "DEVICE")]
    pub device: String,

    /// Number of CPU threads [default: one per core]
    #[arg(long, global = true, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Train(Train),
    Resume(Resume),
    Encode(Encode),
    Decode(Decode),
    Reconstruct(Reconstruct),
    Sample(Sample),
    Traverse(Traverse),
    Advise(Advise),
    Figures(Figures),
    Report(Report),
    Watch(Watch),
    Explore(Explore),
    Import(Import),
    Export(Export),
    Evaluate(Evaluate),
    Score(Score),
    Data(Data),
    Bench(Bench),
    Bottleneck(Bottleneck),
    Recipes(Recipes),
    Completions(Completions),
    Man(Man),
}

/// Train a model
///
/// Without a recipe: dSprites, rendered in memory, the Burgess network, loss H with beta 4.
/// Writes a run folder with checkpoints, metrics.csv, pictures and the resolved configuration.
/// Ctrl-C saves a checkpoint and says how to resume.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae train
  betavae train burgess2018-dsprites --out runs/b1 --seed 3
  betavae train --set objective.beta=8 --set model.latents=6 --steps 20000
  betavae train --data photos/ --set 'data.size=[64,64]' --set model.architecture=pytorch-vae
  betavae train --data photos/ --set 'data.size=[64,64]' --init model.safetensors")]
pub struct Train {
    /// A built-in recipe (see `betavae recipes`) or a .toml file
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,

    /// Change one key of the recipe, such as objective.beta=8; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Run folder, new or empty [default: runs/<recipe>-<n>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Optimisation steps; short for --set train.steps=N
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Seed of the run; short for --set seed=S
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Train on this: a data set name, or a path as for INPUT
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Start from the weights, and with the network, of this model
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
}

/// Continue a run exactly where its last complete checkpoint stands
#[derive(Args)]
#[command(after_help = "Examples:
  betavae resume runs/default-1
  betavae resume runs/default-1 --steps 50000
  betavae resume runs/photos-1 --data /new/place/photos")]
pub struct Resume {
    /// A run folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// New length of the whole run in steps
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Where the images are now, if they have moved; they must be the same
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,
}

/// Images for a model, and what is made of them.
#[derive(Args, Clone)]
pub struct Images {
    /// Images: a data set name, or a path as for INPUT [default: what the model was trained on]
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of [data], such as data.key=x_test; may be repeated [default: as in the training]
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,
}

/// Turn images into codes: `mean` and `log_var` of the posterior, [N, D] float32
#[derive(Args)]
#[command(after_help = "Examples:
  betavae encode runs/default-1 --data photos/ --output codes.npz
  betavae encode runs/default-1 --data dsprites --limit 10000 --output codes.npz")]
pub struct Encode {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// Where to write: .npz, .csv, .parquet, or .npy for the means alone
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// Only this many images, chosen at random, but always the same
    #[arg(long, value_name = "N", value_parser = count)]
    pub limit: Option<usize>,
}

/// Turn codes into images
#[derive(Args)]
#[command(after_help = "Examples:
  betavae decode runs/default-1 --input codes.npz --output images.npz
  betavae decode runs/default-1 --input codes.npz --output grid.png")]
pub struct Decode {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Codes [N, D] as `encode` writes them, in any of its formats, or from elsewhere
    #[arg(long, visible_alias = "codes", value_name = "FILE")]
    pub input: PathBuf,

    /// Where to write: .npz (`images` [N, H, W, C] float32) or .png
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Show images beside their reconstructions
#[derive(Args)]
#[command(after_help = "Examples:
  betavae reconstruct runs/default-1
  betavae reconstruct runs/default-1 --data photos/ --count 32 --output photos.png")]
pub struct Reconstruct {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// How many images, chosen at random, but always the same
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count)]
    pub count: usize,

    /// Where to write: .png, or .npz (`originals` and `images`) [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Decode random draws from the prior
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sample runs/default-1 --count 64 --seed 3
  betavae sample runs/default-1 --count 1000 --output samples.npz")]
pub struct Sample {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// How many images
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
    pub count: usize,

    /// Seed of the draws
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Where to write: .png, or .npz (`images`) [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Vary one latent at a time; rows ordered by KL and labelled with it
#[derive(Args)]
#[command(after_help = "Examples:
  betavae traverse runs/default-1
  betavae traverse runs/default-1 --output traversal.gif
  betavae traverse runs/default-1 --data dsprites --index 300000 --range 2 --frames 9")]
pub struct Traverse {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Start from the code of an image of this instead of the mean of the prior
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of [data], such as data.key=x_test; may be repeated [default: as in the training]
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,

    /// Start from the code of this image [default: 0, with --data]
    #[arg(long, value_name = "I")]
    pub index: Option<usize>,

    /// Vary each latent from -RANGE to RANGE standard deviations of the prior
    #[arg(long, value_name = "RANGE", default_value_t = 3.0, value_parser = positive)]
    pub range: f32,

    /// Number of values per latent
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = frames)]
    pub frames: usize,

    /// Where to write: .png, .gif (animated), or .npz (`images`, `values`, `latents`)
    /// [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Find out which beta, gamma and C suit your images, from short runs, and why
///
/// Trains small probes with loss H and rising beta, then with loss B, and prints what it concludes with the
/// commands to go on. Takes the data and the network of a recipe, a run folder, or --data and --set.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae advise
  betavae advise --data photos/ --set 'data.size=[64,64]' --set model.architecture=pytorch-vae
  betavae advise runs/default-1 --steps 10000 --json")]
pub struct Advise {
    /// A built-in recipe, a .toml file, or a run folder [default: the default recipe]
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,

    /// Images: a data set name, or a path as for INPUT
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Optimisation steps of each probe, at least 100; there are about six
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = probe_steps)]
    pub steps: u64,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Draw the papers' figures: traversals, latent responses, score matrices, curves, comparisons of runs
///
/// Of one MODEL, all that apply: traversal, reconstructions, samples; responses and matrices, where factors
/// are known; terms, kl-training and, with loss B, kl-capacity of a run folder. Of several run folders:
/// rate-distortion and score-beta.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae figures runs/default-1
  betavae figures runs/default-1 --only responses,matrices --format png --output paper/
  betavae figures runs/beta-* --output paper/")]
pub struct Figures {
    /// A model, or several run folders
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<PathBuf>,

    /// Only these [default: all that apply]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = one_of(&FigureName::ALL, FigureName::name)
    )]
    pub only: Vec<FigureName>,

    #[command(flatten)]
    pub images: Images,

    /// Of figures with axes; pictures are always .png
    #[arg(long, default_value = "svg")]
    pub format: FigureFormat,

    /// Where to write [default: figures/ in the run folder, or in the current folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Formats of figures with axes.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum FigureFormat {
    /// Lines and text at any size, for papers and pages
    Svg,
    /// Pixels
    Png,
}

/// Write a report: one HTML file with what was trained, curves, loss terms, scores, figures, provenance
///
/// Several runs come side by side. `betavae train` writes report.html into the run folder when it ends.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae report runs/default-1
  betavae report runs/beta-1 runs/beta-4 runs/beta-16 --output betas.html")]
pub struct Report {
    /// Run folders, finished or not
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,

    /// Where to write [default: report.html, in the run folder if there is one only]
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
}

/// Watch a run in the browser while it is trained: curves, KL of the latents, the newest pictures
///
/// Serves one page on this machine only, with nothing but this run's curves and pictures.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae watch runs/default-1 --open
  betavae watch runs/default-1 --port 8000")]
pub struct Watch {
    /// A run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 6007)]
    pub port: u16,

    /// Address to listen on; any but a loopback address lets other machines see the run
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,

    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

/// Move latents by hand: one page for the browser in which the model runs, to keep or to send
#[derive(Args)]
#[command(after_help = "Examples:
  betavae explore runs/default-1
  betavae explore runs/default-1 --output latents.html")]
pub struct Explore {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Where to write [default: explore.html in the run folder, which is then opened]
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub images: Images,

    /// Sliders go from -RANGE to RANGE standard deviations of the prior
    #[arg(long, value_name = "RANGE", default_value_t = 3.0, value_parser = positive)]
    pub range: f32,
}

/// Turn a checkpoint of disentangling-vae or PyTorch-VAE into a model of betavae
///
/// Network, image size and latents follow from the tensors' shapes. Nothing in the file is executed. The
/// written model can be evaluated, traversed, explored, exported, and trained further (`train --init`).
#[derive(Args)]
#[command(after_help = "Examples:
  betavae import results/betaB_celeba/model.pt --output model.safetensors
  betavae import logs/last.ckpt --output model.safetensors --set objective.beta=10
  betavae import old.ckpt --set model.image_range=signed --output model.safetensors
  betavae import averaged.ckpt --prefix ema. --output model.safetensors")]
pub struct Import {
    /// A model.pt of disentangling-vae (with its specs.json beside it, if it is there), or a .ckpt or state
    /// dict of PyTorch-VAE; or the tensors of either in a .safetensors file
    #[arg(value_name = "FILE")]
    pub input: PathBuf,

    /// Which program wrote it [default: found out]
    #[arg(long)]
    pub layout: Option<PeerLayoutArg>,

    /// Which copy of the network, by what stands before its tensors' names, where a file holds raw and
    /// averaged weights
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,

    /// Where to write
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: PathBuf,

    /// Say what the file does not, such as objective.beta=10; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Programs whose checkpoints can be read.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum PeerLayoutArg {
    /// The Burgess model of disentangling-vae
    DisentanglingVae,
    /// BetaVAE, VanillaVAE and others of PyTorch-VAE
    PytorchVae,
}

/// Write a model for other programs: PyTorch, ONNX Runtime, or Rust without Burn
#[derive(Args)]
#[command(after_help = "Examples:
  betavae export runs/default-1 --output model.onnx
  betavae export runs/default-1 --output encoder.onnx --part encoder
  betavae export runs/default-1 --output model.safetensors
  betavae export runs/default-1 --output model.pt")]
pub struct Export {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Where to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// What to write [default: what the ending of FILE says]
    #[arg(long)]
    pub format: Option<ExportFormat>,

    /// Of an ONNX file: which part of the model
    #[arg(long, default_value = "reconstruction")]
    pub part: ExportPart,

    /// Of an ONNX file: order of the axes of images
    #[arg(long, default_value = "nchw")]
    pub layout: ExportLayout,
}

/// Formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportFormat {
    /// Tensors with PyTorch's names, and the configuration (.safetensors)
    Safetensors,
    /// A graph (.onnx)
    Onnx,
    /// For the crate betavae-infer (.bvae)
    Program,
    /// A state dict for disentangling-vae (.pt, .pth)
    DisentanglingVae,
    /// A state dict for PyTorch-VAE (.pt, .pth)
    PytorchVae,
}

/// Parts of a model.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportPart {
    /// image -> mean, log_var
    Encoder,
    /// z -> image
    Decoder,
    /// image -> reconstruction, mean, log_var
    Reconstruction,
}

/// Orders of axes.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportLayout {
    /// [N, C, H, W]
    Nchw,
    /// [N, H, W, C]
    Nhwc,
}

/// Loss terms in nats per image, at z = mean and with noise, and the KL of each latent
#[derive(Args)]
#[command(after_help = "Examples:
  betavae evaluate runs/default-1 --limit 10000
  betavae evaluate runs/default-1 --scores all
  betavae evaluate runs/default-1 --data photos/ --json")]
pub struct Evaluate {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// Only this many images, chosen at random, but always the same
    #[arg(long, value_name = "N", value_parser = count)]
    pub limit: Option<usize>,

    /// Scores of disentanglement, for data with known factors: `all`, or names such as mig,irs
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = scores())]
    pub scores: Vec<ScoreNames>,

    /// A model with another seed, for udr; may be repeated
    #[arg(long = "with", value_name = "MODEL")]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub estimation: Estimation,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Score any representation, from any tool, given the factors
///
/// Codes: a table with a column per latent (.csv, .tsv, .jsonl, .parquet), an .npz file with `mean` and, for
/// mig_chen, `log_var` [N, D], or an .npy file: whatever `encode` writes. Factors: a table with a column per
/// factor of numbers or words, an .npz file with `factors`, `labels` or `y`, or an .npy file: whatever
/// training takes. Rows with names (a column such as `file`) or an index are joined by them, whatever their
/// order; others are taken in their order.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae score --codes codes.npz --factors factors.npz
  betavae score --codes codes.csv --factors factors.csv --metrics mig,irs --json")]
pub struct Score {
    /// Codes [N, D]
    #[arg(long, value_name = "FILE")]
    pub codes: PathBuf,

    /// Factors [N, K]
    #[arg(long, value_name = "FILE")]
    pub factors: PathBuf,

    /// Which scores: `all`, or names such as mig,irs
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "all",
        value_parser = scores()
    )]
    pub metrics: Vec<ScoreNames>,

    /// Codes of the same images by a model with another seed, for udr; may be repeated
    #[arg(long = "with", value_name = "FILE")]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub estimation: Estimation,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// How scores are estimated.
#[derive(Args)]
pub struct Estimation {
    /// Seed of all draws of scores
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub score_seed: u64,

    /// Repeats of a score with other draws, for its interval
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count)]
    pub repeats: usize,

    /// Codes that one value of a score is computed or learned from, at least 10; fewer are all used
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = samples)]
    pub samples: usize,

    /// What predicts factors for DCI
    #[arg(long, value_name = "LEARNER", value_enum, default_value_t)]
    pub dci: DciLearner,

    /// Factors of beta_vae_higgins, from 0 [default: all, without the shape of a data set]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub higgins_factors: Vec<usize>,
}

/// What predicts factors for DCI.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum DciLearner {
    /// Gradient-boosted trees, as in disentanglement_lib
    #[default]
    Boosting,
    /// A random forest, as in Eastwood and Williams 2018
    Forest,
    /// The lasso, as in Eastwood and Williams 2018
    Lasso,
}

impl From<DciLearner> for DciWith {
    fn from(learner: DciLearner) -> Self {
        match learner {
            DciLearner::Boosting => Self::Boosting,
            DciLearner::Forest => Self::Forest,
            DciLearner::Lasso => Self::Lasso,
        }
    }
}

/// List, describe, fetch and export data sets
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// The data sets that need no file, and the official ones that can be fetched
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Size, factors and fingerprint of a data set; licence and citation of an official one
    Info {
        #[command(flatten)]
        images: Source,
        /// Set one key of [data], such as data.size=64; may be repeated
        #[arg(long = "set", value_name = "data.KEY=VALUE")]
        set: Vec<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download the files of an official data set, so that `--set data.name=NAME` opens it
    #[command(after_help = "Examples:
  betavae data fetch shapes3d
  betavae data fetch mnist --output mnist/
  betavae data fetch shapes3d --url https://mirror.example.org/3dshapes.h5

An interrupted download goes on where it stopped. Files go to the folder BETAVAE_DATA, or else to \
betavae in the user's cache.")]
    Fetch {
        /// One of the official sets in `betavae data list`
        #[arg(value_name = "NAME")]
        name: String,
        /// Where to write instead; read it from there with data.path
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Another address of the file, or of a folder with all files (with a slash at its end)
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Write images as an .npz file with the keys of dSprites: `imgs`, and where the factors are
    /// known `latents_classes` and `latents_values`
    #[command(after_help = "Examples:
  betavae data export dsprites --indices 0..1000 --output first.npz
  betavae data export dsprites --output dsprites.npz
  betavae data export blobs --output blobs.npz")]
    Export {
        #[command(flatten)]
        images: Source,
        /// Set one key of [data], such as data.size=64; may be repeated
        #[arg(long = "set", value_name = "data.KEY=VALUE")]
        set: Vec<String>,
        /// Which images, first..last (last excluded) [default: all]
        #[arg(long, value_name = "A..B", value_parser = range)]
        indices: Option<Range<usize>>,
        /// Seed of the noise of the coloured, noisy and textured sets
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        /// Where to write
        #[arg(long, value_name = "FILE.npz")]
        output: PathBuf,
    },
}

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

    /// The kernels of each convolution on one thread, in place of whole steps
    #[arg(long, conflicts_with_all = ["batch", "steps", "mode", "serve"])]
    pub layers: bool,

    /// Whole optimisation steps, or images to codes
    #[arg(long, default_value = "train", value_parser = one_of(&Mode::ALL, Mode::name))]
    pub mode: Mode,

    /// The numbers that are multiplied
    #[arg(long, default_value = "f32", value_parser = one_of(&Precision::ALL, Precision::name))]
    pub precision: Precision,

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

/// Scores to compute.
#[derive(Clone, Copy)]
pub enum ScoreNames {
    All,
    One(ScoreName),
}

impl ScoreNames {
    /// Each once.
    pub fn wanted(names: &[Self]) -> Vec<ScoreName> {
        let is_wanted = |score: &ScoreName| {
            names.iter().any(|name| match name {
                Self::All => true,
                Self::One(one) => one == score,
            })
        };
        ScoreName::ALL.iter().copied().filter(is_wanted).collect()
    }
}

fn scores() -> impl TypedValueParser<Value = ScoreNames> {
    let all = ScoreName::ALL;
    let names = ["all"].into_iter().chain(all.iter().map(|score| score.name()));
    PossibleValuesParser::new(names).map(move |text| {
        let one = all.iter().copied().find(|score| score.name() == text);
        one.map_or(ScoreNames::All, ScoreNames::One)
    })
}

/// The networks to measure.
#[derive(Clone, Copy)]
pub enum Architectures {
    All,
    One(Architecture),
}

/// Repeat the study of Burgess et al. 2018, Fig. 3: which factor a narrow channel tells first
///
/// The encoder is a gain and a noise for each of dSprites' factors. Writes bottleneck.svg, bottleneck.csv and
/// bottleneck.png.
#[derive(Args)]
#[command(after_help = "Example:
  betavae bottleneck --output paper")]
pub struct Bottleneck {
    /// Steps over which C rises from 0.5 to 25 nats
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    pub steps: u64,

    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "bottleneck")]
    pub output: PathBuf,
}

/// List the built-in recipes, or print one
#[derive(Args)]
#[command(after_help = "Examples:
  betavae recipes
  betavae recipes burgess2018-dsprites > mine.toml && betavae train mine.toml")]
pub struct Recipes {
    /// Print this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:
  betavae completions bash > ~/.local/share/bash-completion/completions/betavae")]
pub struct Completions {
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Write manual pages into a folder
#[derive(Args)]
#[command(after_help = "Example:
  betavae man ~/.local/share/man/man1")]
pub struct Man {
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// The device a name stands for.
pub fn device(name: &str) -> Result<Device, betavae::Error> {
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(betavae::Error::Config {
            message: format!("unknown device `{name}`: this build has `cpu`"),
            hint: String::new(),
        }),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("expected a number from 1 to 1024".into()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or("expected a number of at least 1".into())
}

/// More frames than this are no picture.
fn frames(text: &str) -> Result<usize, String> {
    let frames = text.parse().ok().filter(|count| (1..=1000).contains(count));
    frames.ok_or("expected a number from 1 to 1000".into())
}

/// Fewer codes than the smallest downstream size are no sample.
fn samples(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count >= 10).ok_or("expected a number of at least 10".into())
}

/// The curves of a probe are means over hundredths of its steps.
fn probe_steps(text: &str) -> Result<u64, String> {
    let steps = text.parse().ok().filter(|steps| *steps >= LEAST_STEPS);
    steps.ok_or(format!("expected a number of at least {LEAST_STEPS}"))
}

fn image(text: &str) -> Result<ImageShape, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=4096).contains(side));
    match text.split('x').map(side).collect::<Option<Vec<usize>>>().as_deref() {
        Some(&[height, width, channels]) => Ok(ImageShape::new(height, width, channels)),
        _ => Err("expected height x width x channels, such as 64x64x3".into()),
    }
}

/// Reads the name of one of `all`.
fn one_of<T: Copy + Send + Sync>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let find = move |text: String| all.iter().copied().find(|one| name(*one) == text);
    PossibleValuesParser::new(all.iter().map(|one| name(*one)))
        .map(move |text| find(text).unwrap_or_else(|| unreachable!("clap has checked the name")))
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

fn positive(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && f32::is_finite(value) => Ok(value),
        _ => Err("expected a number above 0".into()),
    }
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let parts = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parts {
        Some((first, last)) if first < last => Ok(first..last),
        _ => Err("expected first..last, such as 0..1000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn ranges_are_read_and_empty_ones_refused() {
        assert_eq!(range("0..1000"), Ok(0..1000));
        assert!(["5..5", "7..3", "5", "a..b", "..3"].iter().all(|text| range(text).is_err()));
    }

    #[test]
    fn image_shapes_have_three_positive_numbers() {
        assert_eq!(image("48x64x3"), Ok(ImageShape::new(48, 64, 3)));
        assert!(["64x64", "64x0x1", "64x64x3x1", "axbxc", ""].iter().all(|s| image(s).is_err()));
    }
}

/// Images that are all a command is about, so that they need no flag.
#[derive(Args)]
pub struct Source {
    /// A data set name, an .npz or .npy file, an official file, a folder or archive of images, Parquet files
    #[arg(value_name = "INPUT", required_unless_present = "data")]
    place: Option<String>,
    /// The same, as other commands take it
    #[arg(long, value_name = "INPUT", visible_alias = "input", conflicts_with = "place")]
    data: Option<String>,
}

impl Source {
    /// What was given.
    pub fn word(&self) -> &str {
        self.place.as_deref().or(self.data.as_deref()).unwrap_or_default()
    }
}
