//! `reconstruct`, `sample` and `traverse`.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context;
use betavae::checkpoint::Trained;
use betavae::evaluate::{load, subset};
use betavae::figures::{self, Traversal, TraversalOptions};
use betavae::model::values;
use betavae::npz::NpzWriter;
use betavae::{Device, Error, Tensor};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Frame, RgbImage};

use super::{extension, figure_path, open_for, unknown_format};
use crate::args::{Reconstruct, Sample, Traverse};
use crate::output::print;

pub fn reconstruct(args: Reconstruct, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, args.input.as_deref())?;
    let output = figure_path(&args.model, args.output, "reconstructions.png")?;
    let images = load(&*data, &subset(data.len(), args.count.max(1)), device)?;
    match extension(&output).as_str() {
        "npz" => {
            let copies = trained.model.reconstruct(images.clone());
            save_images(&output, copies, Some(images))
        }
        "png" => save_png(&output, &figures::reconstructions(&trained.model, images, 8)),
        _ => Err(unknown_format(&output, ".png or .npz")),
    }
}

pub fn sample(args: Sample, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let output = figure_path(&args.model, args.output, "samples.png")?;
    save_images(&output, trained.model.sample(args.count.max(1), args.seed), None)
}

pub fn traverse(args: Traverse, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let output = figure_path(&args.model, args.output.clone(), "traversal.png")?;
    let (centre, around) = centre(&args, &trained, device)?;
    let options = TraversalOptions { range: args.range, frames: args.frames.max(1), centre };
    let traversal = Traversal::new(&trained, &options);
    let step = trained.metadata.step;
    match extension(&output).as_str() {
        "png" => {
            let title = format!("step {step}: traversals around {around}, in prior deviations");
            save_png(&output, &traversal.figure(&title))
        }
        "gif" => save_gif(&output, traversal.animation(5)),
        "npz" => {
            let [_, height, width, channels] = traversal.images.dims();
            let (rows, columns) = (traversal.latents.len(), traversal.values.len());
            let latents: Vec<i64> = traversal.latents.iter().map(|latent| *latent as i64).collect();
            let shape = [rows, columns, height, width, channels];
            let mut file = NpzWriter::create(&output)?;
            file.add("images", &shape, &values(traversal.images))?;
            file.add("values", &[columns], &traversal.values)?;
            file.add("latents", &[rows], &latents)?;
            file.finish()?;
            wrote(&output)
        }
        _ => Err(unknown_format(&output, ".png, .gif or .npz")),
    }
}

/// Where a traversal starts, and that place in words.
fn centre(
    args: &Traverse,
    trained: &Trained,
    device: &Device,
) -> anyhow::Result<(Vec<f32>, String)> {
    let Some(input) = &args.input else {
        return Ok((vec![0.0; trained.model.latents()], "the prior mean".into()));
    };
    let data = open_for(trained, Some(input))?;
    if args.index >= data.len() {
        return Err(Error::Mismatch {
            what: "--index".into(),
            expected: format!("below {}, the number of images of {input}", data.len()),
            found: args.index.to_string(),
            hint: String::new(),
        }
        .into());
    }
    let image = load(&*data, &[args.index], device)?;
    let code = values(trained.model.encode(image).mean);
    Ok((code, format!("image {} of {input}", args.index)))
}

/// Writes images [N, H, W, C] as a picture or as arrays, with the originals if there are any.
pub fn save_images(
    path: &Path,
    images: Tensor<4>,
    originals: Option<Tensor<4>>,
) -> anyhow::Result<()> {
    match extension(path).as_str() {
        "png" => save_png(path, &figures::mosaic(images)),
        "npz" => {
            let mut file = NpzWriter::create(path)?;
            let arrays = [("images", Some(images)), ("originals", originals)];
            for (name, tensor) in arrays {
                if let Some(tensor) = tensor {
                    file.add(name, &tensor.dims(), &values(tensor))?;
                }
            }
            file.finish()?;
            wrote(path)
        }
        _ => Err(unknown_format(path, ".png or .npz")),
    }
}

fn save_png(path: &Path, picture: &RgbImage) -> anyhow::Result<()> {
    figures::save(picture, path)?;
    wrote(path)
}

fn save_gif(path: &Path, frames: Vec<Frame>) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
    let file = BufWriter::new(file);
    let mut encoder = GifEncoder::new_with_speed(file, 10);
    encoder.set_repeat(Repeat::Infinite).with_context(context)?;
    encoder.encode_frames(frames).with_context(context)?;
    drop(encoder);
    wrote(path)
}

/// The name of what was written is the result of the command.
fn wrote(path: &Path) -> anyhow::Result<()> {
    print(&path.display().to_string())
}
