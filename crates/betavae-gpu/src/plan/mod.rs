//! A step as a list of launches over regions of memory.

mod backward;
mod code;
mod forward;
mod launch;
mod state;

use std::collections::BTreeMap;
use std::fmt;

pub use code::{Constraint, Form};
pub use launch::{End, Kernel, Launch};
pub use state::{StateLayout, StateTensor};

use betavae_kernels::Activation;

use crate::images::ImageStore;
use crate::network::{Layer, Network};
use launch::Constant::{self, Flag, Index, Number};
use state::ALIGN;

/// How the decoder's output is compared with the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NllKind {
    /// The output is a logit.
    Bernoulli,
    /// The output is a mean, with this standard deviation.
    Gaussian {
        /// Standard deviation, > 0.
        sigma: f64,
    },
}

/// What is minimised: `nll_factor * NLL + constraint_factor * constraint + constant`, in nats per image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The likelihood.
    pub nll: NllKind,
    /// What is added to the NLL to make the reconstruction of it.
    pub nll_constant: f64,
    /// The weight of the NLL in the loss.
    pub nll_factor: f64,
    /// What is added to the loss.
    pub constant: f64,
    /// The constraint.
    pub constraint: Constraint,
    /// Its weight in the loss.
    pub constraint_factor: f64,
}

/// How parameters follow from gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Kingma and Ba 2015.
    Adam {
        /// Decay rate of the mean of gradients.
        beta_1: f64,
        /// Decay rate of the mean of squared gradients.
        beta_2: f64,
        /// Added to the denominator.
        epsilon: f64,
    },
    /// Duchi et al. 2011.
    Adagrad {
        /// Added to the denominator.
        epsilon: f64,
    },
}

/// A region of the maps of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// What it holds.
    pub name: String,
    /// Where it begins, in values.
    pub offset: usize,
    /// Its values.
    pub len: usize,
}

/// A step, or a pass of an encoder or decoder, of one network for one number of images.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Images in a batch B.
    pub batch: usize,
    /// Number of latents D.
    pub latents: usize,
    /// The launches in their order.
    pub launches: Vec<Launch>,
    /// Activations, their gradients, and what comes in and goes out.
    pub maps: Vec<Region>,
    /// What stays between steps.
    pub state: StateLayout,
    /// Terms of the loss beside total, reconstruction and KL.
    pub own_terms: usize,
    /// Values of partial sums.
    pub partials: usize,
    /// What differs between workgroups of one launch, as their kernels read it.
    pub(crate) table: Vec<[u32; 4]>,
    /// Images that stay on the device, if any do.
    pub store: Option<ImageStore>,
    /// Where in the table the numbers of a batch's images are written before, where images stay on the device.
    pub(crate) numbers: usize,
    /// Where images or latents are written before, if anywhere.
    pub(crate) input: usize,
    pub(crate) noise: usize,
    /// Where the KL of each latent is, and how many launches are made before it is there.
    pub(crate) kl: usize,
    pub(crate) after_kl: usize,
    /// Where codes or images are read after.
    pub(crate) output: usize,
    pub(crate) output_len: usize,
}

/// A map that a layer has made, or that was there before.
#[derive(Clone, Copy)]
struct Map {
    offset: usize,
    /// What made it.
    activation: Activation,
}

impl Map {
    fn plain(offset: usize) -> Self {
        Self { offset, activation: Activation::Identity }
    }
}

/// What a layer has used and made on the way forward.
struct Pass<'a> {
    layer: &'a Layer,
    input: Map,
    output: Map,
    /// What was normalised, where there is batch normalisation, and its statistics: mean, variance, inverse of the deviation.
    norm: Option<[usize; 2]>,
}

/// Where the sums of a gradient are.
#[derive(Clone, Copy)]
struct PartialSums {
    base: usize,
    parts: usize,
    stride: usize,
}

/// A plan under construction.
struct Builder {
    plan: Plan,
    /// By where the parameters begin.
    gradients: BTreeMap<usize, PartialSums>,
    /// Of gradients of biases, an entry of two rows for each workgroup.
    biases: Vec<[[usize; 4]; 2]>,
    /// Running averages: where they begin, the statistics that move them, channels and pixels.
    running: Vec<[usize; 4]>,
}

impl Plan {
    /// A step: forward, backward, update. Images come from the host, or out of those that stay on the device.
    pub fn train(
        network: &Network,
        batch: usize,
        loss: &Loss,
        rule: &Rule,
        store: Option<ImageStore>,
    ) -> Self {
        let mut builder = Builder::new(network, batch);
        builder.plan.store = store;
        builder.plan.own_terms = loss.constraint.own_terms();
        builder.train(network, loss, rule);
        builder.plan
    }

    /// Images [B, H, W, C] to 2 D numbers each, means before log-variances.
    pub fn encode(network: &Network, batch: usize) -> Self {
        let mut builder = Builder::new(network, batch);
        builder.pass("images", network.image_values, &network.encoder);
        builder.plan
    }

    /// Latents [B, D] to the parameters of p(x | z), [B, H, W, C].
    pub fn decode(network: &Network, batch: usize) -> Self {
        let mut builder = Builder::new(network, batch);
        builder.pass("z", network.latents, &network.decoder);
        builder.plan
    }

    /// Values of all maps.
    pub fn maps_len(&self) -> usize {
        self.maps.last().map_or(0, |region| region.offset + region.len).next_multiple_of(ALIGN)
    }

    /// Values in a row of terms: total, reconstruction, the KL of each latent, further ones, faults.
    pub(crate) fn row_len(&self) -> usize {
        self.latents + self.own_terms + 3
    }

    /// Multiplications and additions.
    pub fn operations(&self) -> u64 {
        self.launches.iter().map(|launch| launch.operations).sum()
    }
}

impl Builder {
    fn new(network: &Network, batch: usize) -> Self {
        let plan = Plan {
            batch,
            latents: network.latents,
            launches: Vec::new(),
            maps: Vec::new(),
            state: StateLayout::new(network),
            own_terms: 0,
            partials: 0,
            table: Vec::new(),
            store: None,
            numbers: 0,
            input: 0,
            noise: 0,
            kl: 0,
            after_kl: 0,
            output: 0,
            output_len: 0,
        };
        Self { plan, gradients: BTreeMap::new(), biases: Vec::new(), running: Vec::new() }
    }

    /// A new region of maps.
    fn map(&mut self, name: impl Into<String>, len: usize) -> usize {
        let offset = self.plan.maps_len();
        self.plan.maps.push(Region { name: name.into(), offset, len });
        offset
    }

    /// A new region of partial sums.
    fn partial_sums(&mut self, len: usize) -> usize {
        let offset = self.plan.partials;
        self.plan.partials = (offset + len).next_multiple_of(ALIGN);
        offset
    }

    fn launch(&mut self, launch: Launch) {
        self.plan.launches.push(launch);
    }

    /// Appends rows to the table. Returns where they begin.
    fn tabulate(&mut self, rows: impl IntoIterator<Item = [usize; 4]>) -> usize {
        let start = self.plan.table.len();
        self.plan.table.extend(rows.into_iter().map(|row| row.map(|number| number as u32)));
        start
    }

    /// A launch with an invocation for each of some values.
    fn each(
        &mut self,
        what: impl Into<String>,
        kernel: Kernel,
        values: usize,
        constants: Vec<(&'static str, Constant)>,
    ) {
        self.launch(Launch::new(what, kernel, values.div_ceil(256), constants));
    }

    /// A pass outside training.
    fn pass(&mut self, input: &str, values: usize, layers: &[Layer]) {
        let batch = self.plan.batch;
        let start = self.map(input, batch * values);
        self.plan.input = start;
        let passes = self.forward(layers, start, false);
        if let Some(last) = passes.last() {
            self.plan.output = last.output.offset;
            self.plan.output_len = batch * last.layer.outputs();
        }
    }

    fn train(&mut self, network: &Network, loss: &Loss, rule: &Rule) {
        let (batch, latents) = (self.plan.batch, self.plan.latents);
        let images = self.map("images", batch * network.image_values);
        let noise = self.map("noise", batch * latents);
        (self.plan.input, self.plan.noise) = (images, noise);
        if let Some(store) = self.plan.store {
            self.gather(store, images);
        }
        let encoder = self.forward(&network.encoder, images, true);
        let heads = encoder.last().map_or(images, |pass| pass.output.offset);
        let code = self.code(heads, noise, loss);
        let (last, others) =
            network.decoder.split_last().unwrap_or_else(|| unreachable!("a decoder has layers"));
        let mut decoder = self.forward(others, code.z, true);
        let input = decoder.last().map_or(Map::plain(code.z), |pass| pass.output);
        let (losses, loss_parts, last) = self.likelihood(last, input, images, loss);
        let image_gradient = last.output.offset;
        decoder.push(last);
        let z_gradient = self.backward(&decoder, image_gradient, true);
        let heads_gradient = self.code_gradient(&code, z_gradient, loss);
        self.backward(&encoder, heads_gradient, false);
        self.terms(&code, [losses, loss_parts], loss);
        self.finish(rule);
    }

    /// The images of a batch out of those that stay on the device.
    fn gather(&mut self, store: ImageStore, images: usize) {
        let (batch, values) = (self.plan.batch, self.plan.batch * store.values);
        self.plan.numbers = self.tabulate(vec![[0; 4]; batch.div_ceil(4)]);
        let constants = vec![
            ("VALUES", Index(values)),
            ("IMAGE_VALUES", Index(store.values)),
            ("IMAGE_WORDS", Index(store.image_words())),
            ("PER_WORD", Index(store.encoding.per_word())),
            ("WHITE", Index(store.encoding.white() as usize)),
            ("SIGNED", Flag(store.signed)),
            ("NUMBERS", Index(self.plan.numbers)),
            ("IMAGES", Index(images)),
        ];
        self.each("images of the batch", Kernel::Gather, values, constants);
    }

    /// Sums of gradients, update.
    fn finish(&mut self, rule: &Rule) {
        let sums = self.tabulate_gradients();
        self.bias_gradients();
        let parameters = self.plan.state.parameters;
        let regions = [
            ("PARAMETERS", Index(parameters)),
            ("GRADIENTS", Index(parameters)),
            ("FIRST_MOMENTS", Index(2 * parameters)),
            ("SECOND_MOMENTS", Index(3 * parameters)),
        ];
        let constants = [&regions[..], &[("SUMS", Index(sums))]].concat();
        self.each("sums of gradients", Kernel::Gradient, parameters, constants);
        let [beta_1, beta_2, epsilon] = match *rule {
            Rule::Adam { beta_1, beta_2, epsilon } => [beta_1, beta_2, epsilon],
            Rule::Adagrad { epsilon } => [0.0, 0.0, epsilon],
        };
        let rule_constants = [
            ("IS_ADAM", Flag(matches!(rule, Rule::Adam { .. }))),
            ("BETA_1", Number(beta_1)),
            ("REST_1", Number(1.0 - beta_1)),
            ("BETA_2", Number(beta_2)),
            ("REST_2", Number(1.0 - beta_2)),
            ("EPSILON", Number(epsilon)),
        ];
        let row = [("ROW", Index(self.plan.row_len())), ("FAULT", Index(self.plan.row_len() - 1))];
        let constants = [&regions[..], &row, &rule_constants].concat();
        self.each("update", Kernel::Update, parameters, constants);
        self.running_averages();
    }
}

impl fmt::Display for Plan {
    /// A line for each launch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4}  {:<37}{:<18}{:>10}{:>10}", "", "launch", "kernel", "groups", "MFLOP")?;
        for (number, launch) in (1..).zip(&self.launches) {
            let Launch { what, kernel, groups, operations, .. } = launch;
            let flops = match operations {
                0 => String::new(),
                operations => format!("{:.1}", *operations as f64 / 1e6),
            };
            writeln!(f, "{number:>4}  {what:<37}{:<18}{groups:>10}{flops:>10}", kernel.name())?;
        }
        let megabytes = |values: usize| values as f64 * 4.0 / 1e6;
        writeln!(
            f,
            "maps {:.1} MB in {} regions, state {:.1} MB, partial sums {:.1} MB",
            megabytes(self.maps_len()),
            self.maps.len(),
            megabytes(self.state.len),
            megabytes(self.partials)
        )?;
        if let Some(store) = self.store {
            let (images, megabytes) = (store.images, megabytes(store.words()));
            writeln!(f, "all {images} images, {megabytes:.1} MB, where the device holds them")?;
        }
        Ok(())
    }
}
