//! Writes one batch of a trained model with all values and gradients, for `golden/verify.py` to
//! recompute in PyTorch.
//!
//! ```sh
//! cargo run --release -p betavae --example dump -- RUN dump.safetensors
//! python golden/verify.py dump.safetensors
//! ```

use std::collections::HashMap;
use std::path::Path;

use betavae::burn::module::Module;
use betavae::checkpoint::Trained;
use betavae::config::Config;
use betavae::data;
use betavae::evaluate::{load, subset};
use betavae::model::{Activation, NamedTensor, Pass, values};
use betavae::objective::{Batch, Facts, Objective, Reduction};
use betavae::optimizer::NamedGradients;
use betavae::random::Stream;
use betavae::{Device, Tensor, TensorData};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// Images in the batch.
const BATCH: usize = 6;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(run), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dump RUN OUTPUT.safetensors".into());
    };
    let config = Config::of_run(Path::new(&run))?;
    let Trained { model, description, .. } = Trained::load(Path::new(&run), &Device::flex())?;
    let model = model.train();
    let step = description.step.max(1);

    let device = Device::flex().autodiff();
    let data = data::open(config.data(), config.seed())?;
    let facts = Facts {
        images: data.len(),
        batch: BATCH,
        latents: model.latents(),
        image_values: config.image().values(),
        seed: config.seed(),
    };
    let objective = Objective::new(config.objective(), facts, &device)?;
    let indices = subset(data.len(), BATCH);
    let images = load(&*data, &indices, &device)?;
    let noise = Stream::new(config.seed(), "dump", 0).normals(BATCH * model.latents());
    let noise = TensorData::new(noise, [BATCH, model.latents()]);
    let noise: Tensor<2> = Tensor::from_data(noise, &device);

    let forward = model.forward(images.clone(), noise.clone(), &mut Pass::train());
    let batch = Batch { images: images.clone(), noise: noise.clone(), indices, second: None };
    let loss = objective.loss(&model, &batch, step, &mut Pass::train());
    let terms = loss.terms();
    let gradients = NamedGradients::collect(&model, &mut loss.total.backward()).values();

    let mut tensors = vec![
        named("images", model.to_network_scale(images).inner()),
        named("noise", noise.inner()),
        named("mean", forward.posterior.mean.inner()),
        named("log_var", forward.posterior.log_var.inner()),
        named("output", model.decoder.forward(forward.z.clone(), &mut Pass::train()).inner()),
        scalar("total", terms.total()),
        scalar("reconstruction", terms.reconstruction()),
        scalar("kl", terms.kl()),
        NamedTensor {
            name: "kl_per_latent".into(),
            shape: vec![model.latents()],
            values: terms.kl_per_latent,
        },
    ];
    let parameters = model.to_named_tensors();
    for (name, values) in gradients {
        let shape = parameters.iter().find(|p| p.name == name).map(|p| p.shape.clone());
        let shape = shape.ok_or("a gradient without a parameter")?;
        tensors.push(NamedTensor { name: format!("grad.{name}"), shape, values });
    }
    for NamedTensor { name, shape, values } in parameters {
        tensors.push(NamedTensor { name: format!("param.{name}"), shape, values });
    }

    let table = config.model().table();
    let settings = config.objective().to_table();
    let gamma = settings.get("gamma").and_then(|gamma| gamma.as_float()).unwrap_or(0.0);
    let (reduction, kl_weight) = match config.objective().reduction {
        Reduction::Sum => ("sum", 1.0),
        Reduction::Mean { kl_weight } => ("mean", kl_weight),
    };
    let weight = objective.weights(step)[0].value;
    let spec = json!({
        "architecture": table.architecture,
        "image": table.image,
        "latents": table.latents,
        "widths": table.widths.clone().unwrap_or_default(),
        "hidden": table.hidden.clone().unwrap_or_default(),
        "kernel": table.kernel.unwrap_or(4),
        "activation": table.activation.unwrap_or(Activation::Relu),
        "norm": table.norm.unwrap_or_default(),
        "objective": {
            "kind": config.objective().kind.name(),
            "beta": weight,
            "gamma": gamma,
            "capacity": weight,
            "likelihood": table.likelihood,
            "sigma": table.sigma.unwrap_or(1.0),
            "reduction": reduction,
            "kl_weight": kl_weight,
        },
    });
    write(Path::new(&output), &tensors, spec.to_string())
}

fn named<const D: usize>(name: &str, tensor: Tensor<D>) -> NamedTensor {
    let shape = tensor.dims().to_vec();
    NamedTensor { name: name.into(), shape, values: values(tensor) }
}

fn scalar(name: &str, value: f32) -> NamedTensor {
    NamedTensor { name: name.into(), shape: vec![1], values: vec![value] }
}

fn write(
    path: &Path,
    tensors: &[NamedTensor],
    spec: String,
) -> Result<(), Box<dyn std::error::Error>> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        views.push((&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?));
    }
    let metadata = HashMap::from([("spec".to_owned(), spec)]);
    Ok(safetensors::serialize_to_file(views, Some(metadata), path)?)
}
