//! Layers on the way forward.

use std::ops::Range;

use betavae_kernels::Activation;

use super::launch::Constant::{self, Flag, Index, Number};
use super::launch::{End, Kernel, Launch, activation_constants};
use super::{Builder, Loss, Map, NllKind, Pass};
use crate::network::{Direction, Geometry, Layer};

/// Added to variances before the root, as in PyTorch.
const NORM_EPSILON: f64 = 1e-5;
/// Share of the new batch in running averages, as in PyTorch.
const MOMENTUM: f64 = 0.1;
/// Wide tiles below which a product is divided into smaller ones.
const FEW: usize = 128;
/// Steps of k for which a tile has its operands in the memory of a workgroup.
const TILE_K: usize = 16;

impl Builder {
    /// Layers one after the other, from a map that nothing has to go back through.
    pub(super) fn forward<'a>(
        &mut self,
        layers: &'a [Layer],
        input: usize,
        in_training: bool,
    ) -> Vec<Pass<'a>> {
        let mut passes: Vec<Pass<'a>> = Vec::new();
        for layer in layers {
            let input = passes.last().map_or(Map::plain(input), |pass| pass.output);
            passes.push(self.layer(layer, input, in_training));
        }
        passes
    }

    fn layer<'a>(&mut self, layer: &'a Layer, input: Map, in_training: bool) -> Pass<'a> {
        let (name, values) = (layer_name(layer), self.plan.batch * layer.outputs());
        let sums = self.map(&name, values);
        let activation = match layer.norm {
            None => layer.activation,
            Some(_) => Activation::Identity,
        };
        let mut constants = activation_constants(activation).to_vec();
        constants.push(("BIAS", Index(self.plan.state.offset(&layer.biases[0].name))));
        self.product_of_layer(layer, input.offset, sums, End::Activation, constants);
        let mut pass = Pass {
            layer,
            input,
            output: Map { offset: sums, activation: layer.activation },
            norm: None,
        };
        if let Some(norm) = &layer.norm {
            let output = self.map(format!("{name}, normalised"), values);
            pass.output.offset = output;
            pass.norm = Some([sums, self.normalise(layer, norm, [sums, output], in_training)]);
        }
        pass
    }

    /// The last layer of a decoder, whose output is the gradient by what it makes. Returns where the losses are and how many.
    pub(super) fn likelihood<'a>(
        &mut self,
        layer: &'a Layer,
        input: Map,
        images: usize,
        loss: &Loss,
    ) -> (usize, usize, Pass<'a>) {
        let batch = self.plan.batch;
        let output = self.map("gradient of the image", batch * layer.outputs());
        let (is_bernoulli, half_precision) = match loss.nll {
            NllKind::Bernoulli => (true, 0.0),
            NllKind::Gaussian { sigma } => (false, 0.5 / (sigma * sigma)),
        };
        let losses = self.plan.partials;
        let mut constants = activation_constants(layer.activation).to_vec();
        constants.extend([
            ("BIAS", Index(self.plan.state.offset(&layer.biases[0].name))),
            ("TARGET", Index(images)),
            ("IS_BERNOULLI", Flag(is_bernoulli)),
            ("HALF_PRECISION", Number(half_precision)),
            ("NLL_SCALE", Number(loss.nll_factor / batch as f64)),
            ("LOSSES", Index(losses)),
        ]);
        let parts = self.product_of_layer(layer, input.offset, output, End::Nll, constants);
        self.partial_sums(parts);
        (losses, parts, Pass { layer, input, output: Map::plain(output), norm: None })
    }

    /// The sums of a layer, in the direction in which it goes.
    fn product_of_layer(
        &mut self,
        layer: &Layer,
        input: usize,
        output: usize,
        end: End,
        constants: Vec<(&'static str, Constant)>,
    ) -> usize {
        let maps = vec![
            ("INPUT", Index(input)),
            ("OUTPUT", Index(output)),
            ("WEIGHT", Index(self.plan.state.offset(&layer.weights[0].name))),
        ];
        let constants = [maps, constants].concat();
        let (name, geometry) = (layer_name(layer), &layer.geometry);
        match layer.direction {
            Direction::Down => self.down(name, geometry, end, constants),
            Direction::Up => self.up(name, geometry, end, constants),
        }
    }

    /// From the large map to the small one. Returns the number of tiles.
    pub(super) fn down(
        &mut self,
        what: String,
        geometry: &Geometry,
        end: End,
        constants: Vec<(&'static str, Constant)>,
    ) -> usize {
        let [height, width, channels] = geometry.small;
        let product = Product {
            rows: self.plan.batch * height * width,
            columns: channels,
            depth: geometry.kernel * geometry.kernel * geometry.large[2],
            parts: 1,
            split: None,
            left_by_k: true,
        };
        self.product(what, Kernel::Down(end), &product, geometry, constants)
    }

    /// From the small map to the large one. Returns the number of tiles.
    pub(super) fn up(
        &mut self,
        what: String,
        geometry: &Geometry,
        end: End,
        mut constants: Vec<(&'static str, Constant)>,
    ) -> usize {
        let Geometry { stride, kernel, large: [height, width, channels], .. } = *geometry;
        let phase = [height.div_ceil(stride), width.div_ceil(stride)];
        let taps = kernel.div_ceil(stride);
        constants.extend([
            ("PHASE_H", Index(phase[0])),
            ("PHASE_W", Index(phase[1])),
            ("TAPS", Index(taps)),
        ]);
        let product = Product {
            rows: self.plan.batch * phase[0] * phase[1],
            columns: channels,
            depth: taps * taps * geometry.small[2],
            parts: stride * stride,
            split: None,
            left_by_k: true,
        };
        self.product(what, Kernel::Up(end), &product, geometry, constants)
    }

    /// A matrix product. Returns the number of tiles.
    pub(super) fn product(
        &mut self,
        what: String,
        kernel: Kernel,
        product: &Product,
        geometry: &Geometry,
        constants: Vec<(&'static str, Constant)>,
    ) -> usize {
        let Product { rows, columns, depth, parts, split, left_by_k } = *product;
        let wide = rows.div_ceil(64) * columns.div_ceil(32) * parts;
        // Rows and columns of a tile, and of an invocation.
        let [tile_m, tile_n, rows_each, columns_each] = match () {
            // Few columns, as in the layer that makes a grey image, would leave most of a wide tile idle.
            () if columns <= 4 => [256, 4, 4, 1],
            // Few tiles, as in linear layers, would leave most of a device idle.
            () if split.is_none() && wide < FEW => [16, 16, 1, 1],
            () => [64, 32, 4, 2],
        };
        let tiles = [rows.div_ceil(tile_m), columns.div_ceil(tile_n)];
        let groups = tiles[0] * tiles[1] * parts;
        let batch = self.plan.batch;
        let shape = [
            ("M", Index(rows)),
            ("N", Index(columns)),
            ("K", Index(depth)),
            ("K_PART", Index(split.unwrap_or(depth))),
            ("K_SPLIT", Index(split.unwrap_or(0))),
            ("TILE_M", Index(tile_m)),
            ("TILE_N", Index(tile_n)),
            ("TILE_K", Index(TILE_K)),
            ("ROWS", Index(rows_each)),
            ("COLUMNS", Index(columns_each)),
            ("TILES_M", Index(tiles[0])),
            ("TILES_N", Index(tiles[1])),
            ("LEFT_BY_K", Flag(left_by_k)),
        ];
        let all = [&shape[..], &geometry_constants(geometry, batch), &constants].concat();
        let mut launch = Launch::new(what, kernel, groups, all);
        let sums = if split.is_some() { rows * columns } else { rows * columns * parts };
        launch.operations = 2 * sums as u64 * depth as u64;
        self.launch(launch);
        groups
    }

    /// Batch normalisation of a map. Returns where its statistics are.
    fn normalise(
        &mut self,
        layer: &Layer,
        norm: &str,
        [input, output]: [usize; 2],
        in_training: bool,
    ) -> usize {
        let channels = layer.channels();
        let values = self.plan.batch * layer.outputs();
        let running = self.plan.state.offset(&format!("{norm}.running_mean"));
        let mut statistics = 0;
        if in_training {
            let sums = ChannelSums::new(values / channels, channels);
            let partials = self.partial_sums(sums.parts * 2 * channels);
            statistics = self.map(format!("{norm}, statistics"), 3 * channels);
            let mut constants = sums.constants();
            constants.extend([
                ("INPUT", Index(input)),
                ("STATISTICS", Index(statistics)),
                ("PARTIALS", Index(partials)),
                ("PARTIALS_STRIDE", Index(2 * channels)),
                ("NORM_EPSILON", Number(NORM_EPSILON)),
            ]);
            let moments = Launch::new(norm, Kernel::Moments, sums.groups(), constants.clone());
            self.launch(moments);
            self.each(norm, Kernel::NormStatistics, channels, constants);
            self.running.push([running, statistics, channels, values / channels]);
        }
        let mut constants = activation_constants(layer.activation).to_vec();
        constants.extend([
            ("VALUES", Index(values)),
            ("CHANNELS", Index(channels)),
            ("INPUT", Index(input)),
            ("OUTPUT", Index(output)),
            ("STATISTICS", Index(statistics)),
            ("BY_RUNNING_AVERAGES", Flag(!in_training)),
            ("RUNNING", Index(running)),
            ("WEIGHT", Index(self.plan.state.offset(&format!("{norm}.weight")))),
            ("BIAS", Index(self.plan.state.offset(&format!("{norm}.bias")))),
            ("NORM_EPSILON", Number(NORM_EPSILON)),
        ]);
        self.each(norm, Kernel::Normalise, values, constants);
        statistics
    }

    /// Moves all running averages.
    pub(super) fn running_averages(&mut self) {
        let mut rows = Vec::new();
        for [running, statistics, channels, pixels] in self.running.drain(..) {
            rows.extend((0..channels).map(|i| [running + i, statistics + i, channels, pixels]));
        }
        if rows.is_empty() {
            return;
        }
        let channels = rows.len();
        let start = self.tabulate(rows);
        let constants = vec![
            ("NORMS", Index(start)),
            ("CHANNELS", Index(channels)),
            ("MOMENTUM", Number(MOMENTUM)),
        ];
        self.each("running averages", Kernel::Running, channels, constants);
    }
}

/// A matrix product, in parts.
pub(super) struct Product {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// The number of terms of each sum.
    pub(super) depth: usize,
    /// Phases, or parts of each sum.
    pub(super) parts: usize,
    /// Terms of each part of a sum, where sums are taken in parts.
    pub(super) split: Option<usize>,
    /// Whether terms, not rows, lie side by side in memory.
    pub(super) left_by_k: bool,
}

/// How the pixels of a map are divided for sums over them.
pub(super) struct ChannelSums {
    pixels: usize,
    channels: usize,
    /// Parts of the pixels.
    pub(super) parts: usize,
    /// Channels of a workgroup.
    pub(super) lanes: usize,
}

impl ChannelSums {
    pub(super) fn new(pixels: usize, channels: usize) -> Self {
        let lanes = channels.next_power_of_two().min(32);
        // A part that is not worth a workgroup is none; and none is empty.
        let parts = (pixels * lanes / 8192).clamp(1, 64);
        let parts = pixels.div_ceil(pixels.div_ceil(parts));
        Self { pixels, channels, parts, lanes }
    }

    /// The pixels of each part.
    pub(super) fn pixels_of_parts(&self) -> impl Iterator<Item = Range<usize>> {
        let (pixels, each) = (self.pixels, self.pixels.div_ceil(self.parts));
        (0..self.parts).map(move |part| part * each..pixels.min((part + 1) * each))
    }

    pub(super) fn groups(&self) -> usize {
        self.parts * self.channels.div_ceil(self.lanes)
    }

    pub(super) fn constants(&self) -> Vec<(&'static str, Constant)> {
        vec![
            ("PIXELS", Index(self.pixels)),
            ("CHANNELS", Index(self.channels)),
            ("PARTS", Index(self.parts)),
            ("PART_PIXELS", Index(self.pixels.div_ceil(self.parts))),
            ("LANES", Index(self.lanes)),
        ]
    }
}

/// What a layer is called in tables: its parameters' name without their kind.
pub(super) fn layer_name(layer: &Layer) -> String {
    let name = layer.weights[0].name.trim_end_matches(".weight");
    match layer.weights.len() {
        1 => name.to_owned(),
        _ => "heads".to_owned(),
    }
}

fn geometry_constants(geometry: &Geometry, batch: usize) -> Vec<(&'static str, Constant)> {
    let Geometry { small, large, kernel, stride, padding, small_pixels, large_pixels } = *geometry;
    vec![
        ("BATCH", Index(batch)),
        ("SMALL_H", Index(small[0])),
        ("SMALL_W", Index(small[1])),
        ("SMALL_C", Index(small[2])),
        ("LARGE_H", Index(large[0])),
        ("LARGE_W", Index(large[1])),
        ("LARGE_C", Index(large[2])),
        ("KERNEL", Index(kernel)),
        ("STRIDE", Index(stride)),
        ("PADDING", Index(padding)),
        ("SMALL_HW", Index(small_pixels)),
        ("LARGE_HW", Index(large_pixels)),
    ]
}
