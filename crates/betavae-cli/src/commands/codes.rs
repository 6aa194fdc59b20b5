//! `encode` and `decode`.

use std::ops::Range;

use betavae::checkpoint::Trained;
use betavae::codes::{CodeRows, CodesWriter};
use betavae::evaluate::{self, subset};
use betavae::files::extension_of;
use betavae::scores::{Representation, read_codes};
use betavae::{Error, Tensor, TensorData};

use super::{check_ending, open_for};
use crate::args::{Decode, Encode};
use crate::commands::pictures::save_images;
use crate::compute::Compute;
use crate::output::say;
use crate::progress;

pub fn encode(args: Encode, compute: &Compute) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, &compute.cpu)?;
    let data = open_for(&trained, &args.images)?;
    let indices = subset(data.len(), args.limit.unwrap_or(data.len()));
    let (bar, mut progress) = progress::images(indices.len());
    let shape = [indices.len(), trained.model.latents()];
    let mut file = CodesWriter::create(&args.output, shape[0], shape[1], args.limit.is_some())?;
    let mut done = 0;
    let coder = compute.coder(&trained.model);
    evaluate::encode_batches(&*coder, &*data, &indices, &mut |batch, codes| {
        let names = batch.iter().map(|index| data.file_name(*index));
        let names = names.map(|name| Some(name?.to_string_lossy().into_owned()));
        let files: Vec<String> = names.collect::<Option<_>>().unwrap_or_default();
        file.write(CodeRows { indices: batch, files: &files, codes: &codes })?;
        done += batch.len();
        progress(done)
    })?;
    file.finish()?;
    bar.finish_and_clear();
    let what = if extension_of(&args.output) == "npy" { "mean" } else { "mean and log_var" };
    say(&format!("wrote {what} {shape:?} to {}", args.output.display()));
    Ok(())
}

pub fn decode(args: Decode, compute: &Compute) -> anyhow::Result<()> {
    let device = &compute.cpu;
    let trained = Trained::load(&args.model, device)?;
    check_ending(&args.output, &["png", "npz"])?;
    let (Representation { mean, .. }, notes) = read_codes(&args.input)?;
    notes.iter().for_each(|note| say(note));
    let latents = trained.model.latents();
    if mean.latents() != latents {
        return Err(Error::Mismatch {
            what: format!("the codes in {}", args.input.display()),
            expected: format!("{latents} latents"),
            found: mean.latents().to_string(),
            hint: "`betavae encode` writes codes of the right form".into(),
        }
        .into());
    }
    let coder = compute.coder(&trained.model);
    let mut decode = |range: Range<usize>| {
        let rows = range.clone().flat_map(|row| mean.row(row));
        let codes: Vec<f32> = rows.map(|code| *code as f32).collect();
        let z = Tensor::from_data(TensorData::new(codes, [range.len(), latents]), device);
        Ok(trained.model.to_images(coder.decode_raw(z)?))
    };
    save_images(&args.output, mean.len(), &mut decode)
}
