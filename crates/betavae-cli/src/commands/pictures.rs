//! `reconstruct`, `sample` and `traverse`.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use betavae::checkpoint::Trained;
use betavae::evaluate::{load, subset};
use betavae::figures::{self, Traversal, TraversalOptions};
use betavae::files::extension_of;
use betavae::model::{BetaVae, values};
use betavae::npz::NpzWriter;
use betavae::{Device, Error, Tensor};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Frame, RgbImage};

use super::{check_ending, figure_path, open_for};
use crate::args::{Images, Reconstruct, Sample, Traverse};
use crate::output::print;

/// Images that are decoded at a time; even, so that draws in pieces are those of one piece.
const BATCH: usize = 256;

/// More pictures than this are no picture.
const MOST_PICTURES: usize = 10_000;

pub fn reconstruct(args: Reconstruct, device: &Device) -> anyhow::Result<()> {
    let output = figure_path(&args.model, args.output, "reconstructions.png")?;
    check_ending(&output, &["png", "npz"])?;
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, &args.images)?;
    let indices = subset(data.len(), args.count);
    match extension_of(&output).as_str() {
        "npz" => {
            let mut originals = |range: Range<usize>| Ok(load(&*data, &indices[range], device)?);
            let mut copies = |range: Range<usize>| {
                Ok(trained.model.reconstruct(load(&*data, &indices[range], device)?))
            };
            let arrays: &mut [(&str, &mut Make<'_>)] =
                &mut [("images", &mut copies), ("originals", &mut originals)];
            save_arrays(&output, indices.len(), arrays)
        }
        _ => {
            check_pictures(indices.len())?;
            let images = load(&*data, &indices, device)?;
            save_png(&output, &figures::reconstructions(&trained.model, images, 8))
        }
    }
}

pub fn sample(args: Sample, device: &Device) -> anyhow::Result<()> {
    let output = figure_path(&args.model, args.output, "samples.png")?;
    check_ending(&output, &["png", "npz"])?;
    let trained = Trained::load(&args.model, device)?;
    let mut prior = BetaVae::prior(args.seed);
    let mut draw = |range: Range<usize>| Ok(trained.model.sample_next(range.len(), &mut prior));
    save_images(&output, args.count, &mut draw)
}

pub fn traverse(args: Traverse, device: &Device) -> anyhow::Result<()> {
    let output = figure_path(&args.model, args.output.clone(), "traversal.png")?;
    check_ending(&output, &["png", "gif", "npz"])?;
    let trained = Trained::load(&args.model, device)?;
    let (centre, around) = centre(&args, &trained, device)?;
    let options = TraversalOptions { range: args.range, frames: args.frames, centre };
    let traversal = Traversal::new(&trained, &options);
    let step = trained.description.step;
    match extension_of(&output).as_str() {
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
        _ => {
            let title = format!("step {step}: traversals around {around}, in prior deviations");
            save_png(&output, &traversal.figure(&title))
        }
    }
}

/// Where a traversal starts, and that place in words.
fn centre(
    args: &Traverse,
    trained: &Trained,
    device: &Device,
) -> anyhow::Result<(Vec<f32>, String)> {
    let images = Images { data: args.data.clone(), set: args.set.clone() };
    if images.data.is_none() && images.set.is_empty() && args.index.is_none() {
        return Ok((vec![0.0; trained.model.latents()], "the prior mean".into()));
    }
    let data = open_for(trained, &images)?;
    let (index, name) = (args.index.unwrap_or(0), data.name());
    if index >= data.len() {
        return Err(Error::Mismatch {
            what: "--index".into(),
            expected: format!("below {}, the number of images of {name}", data.len()),
            found: index.to_string(),
            hint: String::new(),
        }
        .into());
    }
    let image = load(&*data, &[index], device)?;
    let code = values(trained.model.encode(image).mean);
    Ok((code, format!("image {index} of {name}")))
}

/// Makes the images of a range.
pub type Make<'a> = dyn FnMut(Range<usize>) -> anyhow::Result<Tensor<4>> + 'a;

/// Writes `count` images as a picture, or in pieces as the array `images` [N, H, W, C].
pub fn save_images(path: &Path, count: usize, make: &mut Make<'_>) -> anyhow::Result<()> {
    if extension_of(path) == "npz" {
        return save_arrays(path, count, &mut [("images", make)]);
    }
    check_pictures(count)?;
    let pieces = pieces(count).map(&mut *make).collect::<anyhow::Result<Vec<_>>>()?;
    save_png(path, &figures::mosaic(Tensor::cat(pieces, 0)))
}

/// Writes arrays of `count` images, [N, H, W, C], in pieces, so that any number fits into memory.
fn save_arrays(
    path: &Path,
    count: usize,
    arrays: &mut [(&str, &mut Make<'_>)],
) -> anyhow::Result<()> {
    let mut file = NpzWriter::create(path)?;
    for (name, make) in arrays {
        let mut pieces = pieces(count);
        let first = make(pieces.next().unwrap_or(0..0))?;
        let [_, height, width, channels] = first.dims();
        let mut array = file.begin::<f32>(name, &[count, height, width, channels])?;
        array.write(&values(first))?;
        for piece in pieces {
            array.write(&values(make(piece)?))?;
        }
    }
    file.finish()?;
    wrote(path)
}

fn pieces(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(BATCH).map(move |start| start..count.min(start + BATCH))
}

fn check_pictures(count: usize) -> anyhow::Result<()> {
    if count <= MOST_PICTURES {
        return Ok(());
    }
    let message =
        format!("{count} images are too many for one picture, which has at most {MOST_PICTURES}");
    Err(Error::Config { message, hint: "write them with --output FILE.npz".into() }.into())
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
