//! Gradients: back through layers, and of their parameters.

use super::forward::{ChannelSums, Product, layer_name};
use super::launch::Constant::Index;
use super::launch::{End, Kernel, Launch, activation_constants};
use super::state::ALIGN;
use super::{Builder, PartialSums, Pass};
use crate::network::{Direction, Layer};

/// Workgroups that a gradient of weights should have at least, to keep a device busy.
const BUSY: usize = 512;
/// Terms of a sum below which another part is not worth it.
const LEAST_TERMS: usize = 256;

impl Builder {
    /// Back through layers, from the gradient by what the last one makes before its activation. Returns where the gradient by
    /// the first one's input is, if that is wanted.
    pub(super) fn backward(
        &mut self,
        passes: &[Pass<'_>],
        gradient: usize,
        to_input: bool,
    ) -> usize {
        let mut gradient = gradient;
        for (number, pass) in passes.iter().enumerate().rev() {
            if let Some([sums, statistics]) = pass.norm {
                gradient = self.norm_gradient(pass.layer, gradient, [sums, statistics]);
            }
            self.weight_gradient(pass, gradient);
            self.bias_gradient(pass.layer, gradient);
            if number > 0 || to_input {
                gradient = self.input_gradient(pass, gradient);
            }
        }
        gradient
    }

    /// The gradient by a layer's input, through the activation that made that.
    fn input_gradient(&mut self, pass: &Pass<'_>, gradient: usize) -> usize {
        let Pass { layer, input, .. } = pass;
        let geometry = &layer.geometry;
        let map = match layer.direction {
            Direction::Down => geometry.large,
            Direction::Up => geometry.small,
        };
        let name = format!("input of {}", layer_name(layer));
        let values = self.plan.batch * map.iter().product::<usize>();
        let output = self.map(format!("gradient of the {name}"), values);
        let mut constants = activation_constants(input.activation).to_vec();
        constants.extend([
            ("INPUT", Index(gradient)),
            ("OUTPUT", Index(output)),
            ("ACTIVATED", Index(input.offset)),
            ("WEIGHT", Index(self.plan.state.offset(&layer.weights[0].name))),
        ]);
        match layer.direction {
            Direction::Down => self.up(name, geometry, End::Slope, constants),
            Direction::Up => self.down(name, geometry, End::Slope, constants),
        };
        output
    }

    fn weight_gradient(&mut self, pass: &Pass<'_>, gradient: usize) {
        let Pass { layer, input, .. } = pass;
        let geometry = &layer.geometry;
        let [small, large] = match layer.direction {
            Direction::Down => [gradient, input.offset],
            Direction::Up => [input.offset, gradient],
        };
        let [height, width, rows] = geometry.small;
        let columns = geometry.kernel * geometry.kernel * geometry.large[2];
        let depth = self.plan.batch * height * width;
        let tiles = rows.div_ceil(64) * columns.div_ceil(32);
        let parts = BUSY.div_ceil(tiles).clamp(1, depth.div_ceil(LEAST_TERMS));
        let split = depth.div_ceil(parts);
        let parts = depth.div_ceil(split);
        let values = rows * columns;
        let base = self.gradient_of(&layer.weights[0].name, parts, values);
        let constants = vec![
            ("SMALL_MAP", Index(small)),
            ("LARGE_MAP", Index(large)),
            ("PARTIALS", Index(base)),
            ("PARTIALS_STRIDE", Index(values)),
        ];
        let product = Product { rows, columns, depth, parts, split: Some(split), left_by_k: false };
        let name = format!("weights of {}", layer_name(layer));
        self.product(name, Kernel::Weight, &product, geometry, constants);
    }

    /// Notes what the gradient of a bias is summed over; the sums of all biases are one launch.
    fn bias_gradient(&mut self, layer: &Layer, gradient: usize) {
        let channels = layer.channels();
        let values = self.plan.batch * layer.outputs();
        let sums = ChannelSums::new(values / channels, channels);
        let base = self.gradient_of(&layer.biases[0].name, sums.parts, channels);
        let map_pixels = match layer.direction {
            Direction::Down => layer.geometry.small_pixels,
            Direction::Up => layer.geometry.large_pixels,
        };
        for channel in (0..channels).step_by(sums.lanes) {
            for (part, pixels) in sums.pixels_of_parts().enumerate() {
                let place = base + part * channels + channel;
                let map = [gradient, channels, map_pixels, sums.lanes];
                self.biases.push([map, [channel, pixels.start, pixels.end, place]]);
            }
        }
    }

    /// The launch that sums the gradients of all biases.
    pub(super) fn bias_gradients(&mut self) {
        let groups = self.biases.len();
        let entries = std::mem::take(&mut self.biases);
        let start = self.tabulate(entries.into_iter().flatten());
        let constants = vec![("BIASES", Index(start))];
        self.launch(Launch::new("biases of all layers", Kernel::Bias, groups, constants));
    }

    /// The gradient of what was normalised, and of shift and scale.
    fn norm_gradient(
        &mut self,
        layer: &Layer,
        gradient: usize,
        [input, statistics]: [usize; 2],
    ) -> usize {
        let norm = layer.norm.as_deref().unwrap_or_default();
        let channels = layer.channels();
        let values = self.plan.batch * layer.outputs();
        let sums = ChannelSums::new(values / channels, channels);
        let [weight, bias] = ["weight", "bias"].map(|kind| format!("{norm}.{kind}"));
        let scales = self.gradient_of(&weight, sums.parts, channels);
        let shifts = self.gradient_of(&bias, sums.parts, channels);
        let output = self.map(format!("gradient of {}", layer_name(layer)), values);
        let mut constants = sums.constants();
        constants.extend([
            ("VALUES", Index(values)),
            ("GRADIENT", Index(gradient)),
            ("INPUT", Index(input)),
            ("OUTPUT", Index(output)),
            ("STATISTICS", Index(statistics)),
            ("SHIFTS", Index(shifts)),
            ("SCALES", Index(scales)),
            ("PARTIALS_STRIDE", Index(channels)),
            ("WEIGHT", Index(self.plan.state.offset(&weight))),
        ]);
        let name = format!("scale and shift of {norm}");
        self.launch(Launch::new(name, Kernel::NormSums, sums.groups(), constants.clone()));
        self.each(format!("input of {norm}"), Kernel::NormGradient, values, constants);
        output
    }

    /// Room for the partial sums of the gradient of the parameters that begin with this one.
    fn gradient_of(&mut self, name: &str, parts: usize, len: usize) -> usize {
        let base = self.partial_sums(parts * len);
        let start = self.plan.state.offset(name);
        self.gradients.insert(start, PartialSums { base, parts, stride: len });
        base
    }

    /// Writes down where the partial sums of all parameters are. Returns where in the table that begins.
    pub(super) fn tabulate_gradients(&mut self) -> usize {
        let mut rows = Vec::new();
        for &(start, len) in &self.plan.state.groups {
            let sums = self.gradients[&start];
            for first in (0..len).step_by(ALIGN) {
                let count = (len - first).min(ALIGN);
                rows.push([sums.base + first, sums.parts, sums.stride, count]);
            }
        }
        self.tabulate(rows)
    }
}
