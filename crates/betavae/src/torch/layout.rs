//! How two peers name and arrange the tensors of networks that exist here too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::model::{Architecture, ModelConfig, NamedTensor, Network, PeerLayout};

type Tensors = BTreeMap<String, NamedTensor>;

/// The head of disentangling-vae's encoder, and the two that it is here.
const HEADS: (&str, [&str; 2]) = ("encoder.mu_logvar_gen", ["encoder.mean", "encoder.log_var"]);

impl PeerLayout {
    /// Their name and ours of each layer, without `.weight` and the like.
    fn layers(self, network: &Network) -> Vec<(String, String)> {
        let convs = network.encoder.convs.len();
        let mut pairs = Vec::new();
        let mut pair = |theirs: String, ours: String| pairs.push((theirs, ours));
        match self {
            PeerLayout::DisentanglingVae => {
                // The layer that only 64x64 images need is the last of the encoder and the first of
                // the decoder.
                let extra = convs == 4;
                for i in 0..3 {
                    pair(format!("encoder.conv{}", i + 1), format!("encoder.conv.{i}"));
                    let ours = i + usize::from(extra);
                    pair(
                        format!("decoder.convT{}", i + 1),
                        format!("decoder.conv_transpose.{ours}"),
                    );
                }
                if extra {
                    pair("encoder.conv_64".into(), "encoder.conv.3".into());
                    pair("decoder.convT_64".into(), "decoder.conv_transpose.0".into());
                }
                for i in 0..2 {
                    pair(format!("encoder.lin{}", i + 1), format!("encoder.hidden.{i}"));
                    pair(format!("decoder.lin{}", i + 1), format!("decoder.hidden.{i}"));
                }
                pair("decoder.lin3".into(), "decoder.project".into());
            }
            PeerLayout::PytorchVae => {
                for i in 0..convs {
                    pair(format!("encoder.{i}.0"), format!("encoder.conv.{i}"));
                    pair(format!("encoder.{i}.1"), format!("encoder.norm.{i}"));
                    let last = i + 1 == convs;
                    let theirs = if last { "final_layer".into() } else { format!("decoder.{i}") };
                    pair(format!("{theirs}.0"), format!("decoder.conv_transpose.{i}"));
                    pair(format!("{theirs}.1"), format!("decoder.norm.{i}"));
                }
                pair("fc_mu".into(), "encoder.mean".into());
                pair("fc_var".into(), "encoder.log_var".into());
                pair("decoder_input".into(), "decoder.project".into());
                pair("final_layer.3".into(), "decoder.output".into());
            }
        }
        pairs
    }

    /// Their names of the counters of batches beside each batch norm, which have no equivalent here.
    pub(super) fn counters(self, network: &Network) -> Vec<String> {
        let norms = |(theirs, ours): (String, String)| {
            ours.contains(".norm.").then(|| format!("{theirs}.num_batches_tracked"))
        };
        self.layers(network).into_iter().filter_map(norms).collect()
    }

    /// Their tensors by our names. What is left over keeps its name, so that it is reported.
    ///
    /// # Errors
    /// If the head of means and log-variances has an odd number of rows.
    pub(super) fn to_ours(
        self,
        mut theirs: Tensors,
        network: &Network,
    ) -> Result<Vec<NamedTensor>> {
        for counter in self.counters(network) {
            theirs.remove(&counter);
        }
        let names: BTreeMap<_, _> = self.layers(network).into_iter().collect();
        let mut ours = Vec::new();
        for (name, mut tensor) in theirs {
            let (layer, part) = name.rsplit_once('.').unwrap_or((&name, ""));
            if layer == HEADS.0 && self == PeerLayout::DisentanglingVae {
                ours.extend(divided(&tensor, part)?);
                continue;
            }
            if let Some(layer) = names.get(layer) {
                tensor.name = format!("{layer}.{part}");
            }
            ours.push(tensor);
        }
        Ok(ours)
    }

    /// Our tensors by their names.
    ///
    /// # Errors
    /// If the network is not theirs.
    pub(super) fn to_theirs(
        self,
        ours: Vec<NamedTensor>,
        network: &Network,
    ) -> Result<Vec<NamedTensor>> {
        let layers = self.layers(network);
        let names: BTreeMap<_, _> =
            layers.into_iter().map(|(theirs, ours)| (ours, theirs)).collect();
        let mut theirs = Vec::new();
        let mut heads: Tensors = BTreeMap::new();
        for mut tensor in ours {
            let (layer, part) = tensor.name.rsplit_once('.').unwrap_or((&tensor.name, ""));
            match names.get(layer) {
                Some(layer) => tensor.name = format!("{layer}.{part}"),
                None if HEADS.1.contains(&layer) => {
                    heads.insert(tensor.name.clone(), tensor);
                    continue;
                }
                None => {
                    return Err(Error::config(
                        format!("{} has no tensor {}", self.name(), tensor.name),
                        "use --format safetensors or onnx",
                    ));
                }
            }
            theirs.push(tensor);
        }
        for part in ["weight", "bias"] {
            let [mean, log_var] = HEADS.1.map(|head| heads.remove(&format!("{head}.{part}")));
            if let (Some(mean), Some(log_var)) = (mean, log_var) {
                theirs.push(interleaved(&mean, &log_var, part));
            }
        }
        Ok(theirs)
    }

    /// # Errors
    /// If the program has no class for such a network.
    pub(super) fn check(self, network: &Network) -> Result<()> {
        let image = network.image;
        let square = image.height == image.width;
        let halvings = network.encoder.convs.len();
        let same = |architecture, widths: Option<Vec<usize>>| {
            let config = ModelConfig {
                architecture,
                latents: network.latents,
                widths,
                image_range: (self == PeerLayout::PytorchVae).then_some(network.image_range),
                ..ModelConfig::default()
            };
            Network::new(&config, image).is_ok_and(|theirs| theirs == *network)
        };
        let (fits, expected) = match self {
            PeerLayout::DisentanglingVae => (
                square && [32, 64].contains(&image.height) && same(Architecture::Burgess, None),
                "the burgess network for images of 64x64 or 32x32",
            ),
            PeerLayout::PytorchVae => {
                let widths = network.encoder.convs.iter().map(|conv| conv.filters).collect();
                let whole = square && image.height.is_multiple_of(1 << halvings.min(30));
                (
                    whole && same(Architecture::PytorchVae, Some(widths)),
                    "the pytorch-vae network for square images whose side its layers can halve",
                )
            }
        };
        if fits {
            return Ok(());
        }
        Err(Error::Mismatch {
            what: format!("{} has no such network", self.name()),
            expected: expected.into(),
            found: format!("another network, or images of {image}"),
            hint: "use --format safetensors or onnx".into(),
        })
    }

    /// A recipe with everything that shapes, and a `specs.json` beside the file, tell; and what they do
    /// not tell.
    pub(super) fn recipe(self, tensors: &Tensors, path: &Path) -> Result<(String, Vec<String>)> {
        match self {
            PeerLayout::DisentanglingVae => disentangling_vae(tensors, path),
            PeerLayout::PytorchVae => pytorch_vae(tensors, path),
        }
    }
}

/// The shape of a tensor that must be there and have `axes` axes.
fn shape<const N: usize>(tensors: &Tensors, name: &str, path: &Path) -> Result<[usize; N]> {
    let found = tensors.get(name).map(|tensor| tensor.shape.as_slice());
    let shape = found.ok_or_else(|| Error::file(path, format!("there is no tensor {name}")))?;
    shape.try_into().map_err(|_| {
        Error::file(path, format!("{name}: expected {N} axes, found the shape {shape:?}"))
    })
}

fn disentangling_vae(tensors: &Tensors, path: &Path) -> Result<(String, Vec<String>)> {
    let [_, channels, _, _] = shape(tensors, "encoder.conv1.weight", path)?;
    let [heads, _] = shape(tensors, "encoder.mu_logvar_gen.weight", path)?;
    let side = if tensors.contains_key("encoder.conv_64.weight") { 64 } else { 32 };
    let mut assumptions = Vec::new();
    let specs = path.with_file_name("specs.json");
    let specs = if specs.is_file() {
        let text = fs::read_to_string(&specs).context("read", &specs)?;
        serde_json::from_str(&text).map_err(|error| {
            Error::file_hint(&specs, format!("not valid JSON: {error}"), "it may be moved away")
        })?
    } else {
        serde_json::Value::Null
    };
    let number = |key: &str| specs[key].as_f64().filter(|value| value.is_finite() && *value >= 0.0);
    let objective = match (specs["loss"].as_str(), number("betaH_B"), number("betaB_G")) {
        (Some("betaH"), Some(beta), _) => format!("kind = 'h'\nbeta = {beta:?}"),
        (Some("betaB"), _, Some(gamma)) => {
            let [c_min, c_max] =
                ["betaB_initC", "betaB_finC"].map(|key| number(key).unwrap_or(0.0));
            let steps = number("reg_anneal").unwrap_or(0.0) as u64;
            let c_max = c_max.max(c_min);
            format!(
                "kind = 'b'\ngamma = {gamma:?}\nc_min = {c_min:?}\nc_max = {c_max:?}\nc_steps = {steps}"
            )
        }
        (Some("VAE"), ..) => "kind = 'h'\nbeta = 1.0".to_owned(),
        (loss, ..) => {
            assumptions.push(match loss {
                Some(loss) => {
                    format!("its loss, {loss}, has no equivalent here: beta = 1 is noted instead")
                }
                None => "its objective is not known: beta = 1 is noted".to_owned(),
            });
            "kind = 'h'\nbeta = 1.0".to_owned()
        }
    };
    match specs["rec_dist"].as_str() {
        Some("bernoulli") => {}
        Some(other) => assumptions.push(format!(
            "it was trained with the likelihood {other} of a sigmoid's output; images are the same, but \
             losses here are Bernoulli's"
        )),
        None => assumptions.push("its likelihood is not known: Bernoulli is assumed".to_owned()),
    }
    let data = match specs["dataset"].as_str() {
        Some("dsprites") => "[data]\nname = 'dsprites'\n",
        _ => "",
    };
    let recipe = format!(
        "{data}[model]\narchitecture = 'burgess'\nlatents = {}\nimage = [{side}, {side}, {channels}]\n\
         likelihood = 'bernoulli'\n[objective]\n{objective}\n",
        heads / 2,
    );
    Ok((recipe, assumptions))
}

fn pytorch_vae(tensors: &Tensors, path: &Path) -> Result<(String, Vec<String>)> {
    let [_, channels, _, _] = shape(tensors, "encoder.0.0.weight", path)?;
    let mut widths = Vec::new();
    while tensors.contains_key(&format!("encoder.{}.0.weight", widths.len())) {
        let [width, ..]: [usize; 4] =
            shape(tensors, &format!("encoder.{}.0.weight", widths.len()), path)?;
        widths.push(width);
    }
    let [latents, features] = shape(tensors, "fc_mu.weight", path)?;
    let [made, ..]: [usize; 4] = shape(tensors, "final_layer.3.weight", path)?;
    if made != channels {
        return Err(Error::file_hint(
            path,
            format!("its encoder takes images of {channels} channels, its decoder makes {made}"),
            "such a model cannot reconstruct what it is given; older PyTorch-VAE always made 3 channels",
        ));
    }
    let last = widths[widths.len() - 1].max(1);
    let start = (features / last).isqrt();
    if start == 0 || start * start * last != features || widths.len() > 16 {
        return Err(Error::file(
            path,
            format!("fc_mu takes {features} features, which is no square map of {last} channels"),
        ));
    }
    let side = start << widths.len();
    let recipe = format!(
        "[model]\narchitecture = 'pytorch-vae'\nlatents = {latents}\nwidths = {widths:?}\n\
         image = [{side}, {side}, {channels}]\nimage_range = 'unit'\n\
         likelihood = 'gaussian'\n[objective]\nkind = 'h'\nbeta = 4.0\n",
    );
    let assumptions = vec![
        "its images are taken to lie in [0, 1], as in PyTorch-VAE since 2021; for a model trained on \
         [-1, 1]: --set model.image_range=signed"
            .to_owned(),
        "its objective is not known: beta = 4 is noted".to_owned(),
    ];
    Ok((recipe, assumptions))
}

/// Rows 2j are the head of mean j, rows 2j + 1 that of log-variance j.
fn divided(tensor: &NamedTensor, part: &str) -> Result<[NamedTensor; 2]> {
    let rows = tensor.shape.first().copied().unwrap_or(0);
    if rows == 0 || rows % 2 == 1 {
        return Err(Error::config(
            format!("{} has {rows} rows, which are no pairs of mean and log-variance", tensor.name),
            "",
        ));
    }
    let mut shape = tensor.shape.clone();
    shape[0] /= 2;
    let length = tensor.values.len() / rows;
    let half = |first: usize| {
        let rows = tensor.values.chunks_exact(length.max(1)).skip(first).step_by(2);
        NamedTensor {
            name: format!("{}.{part}", HEADS.1[first]),
            shape: shape.clone(),
            values: rows.flatten().copied().collect(),
        }
    };
    Ok([half(0), half(1)])
}

/// The inverse of [`divided`].
fn interleaved(mean: &NamedTensor, log_var: &NamedTensor, part: &str) -> NamedTensor {
    let mut shape = mean.shape.clone();
    let length = mean.values.len() / shape[0];
    shape[0] *= 2;
    let rows = mean.values.chunks_exact(length).zip(log_var.values.chunks_exact(length));
    let values = rows.flat_map(|(mean, log_var)| [mean, log_var]).flatten().copied().collect();
    NamedTensor { name: format!("{}.{part}", HEADS.0), shape, values }
}
