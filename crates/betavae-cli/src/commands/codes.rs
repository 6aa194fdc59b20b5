//! `encode` and `decode`.

use betavae::checkpoint::Trained;
use betavae::codes::{CodesWriter, Rows};
use betavae::evaluate::{self, subset};
use betavae::npz::read_f32;
use betavae::{Device, Error, Tensor, TensorData};

use super::{extension, open_for};
use crate::args::{Decode, Encode};
use crate::commands::pictures::save_images;
use crate::output::say;
use crate::progress;

pub fn encode(args: Encode, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, Some(&args.input))?;
    let indices = subset(data.len(), args.limit.unwrap_or(data.len()));
    let (bar, mut progress) = progress::images(indices.len());
    let shape = [indices.len(), trained.model.latents()];
    let mut file = CodesWriter::create(&args.output, shape[0], shape[1], args.limit.is_some())?;
    let mut done = 0;
    evaluate::encode_batches(&trained.model, &*data, &indices, &mut |batch, codes| {
        let names = batch.iter().map(|index| data.file_name(*index));
        let names = names.map(|name| Some(name?.to_string_lossy().into_owned()));
        let files: Vec<String> = names.collect::<Option<_>>().unwrap_or_default();
        file.write(Rows { indices: batch, files: &files, codes: &codes })?;
        done += batch.len();
        progress(done);
        Ok(())
    })?;
    file.finish()?;
    bar.finish_and_clear();
    let what = if extension(&args.output) == "npy" { "mean" } else { "mean and log_var" };
    say(&format!("wrote {what} {shape:?} to {}", args.output.display()));
    Ok(())
}

pub fn decode(args: Decode, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let (shape, codes) = read_f32(&args.input, "mean")?;
    let latents = trained.model.latents();
    let &[count, found] = shape.as_slice() else {
        return Err(mismatch(&args, format!("[N, {latents}]"), format!("{shape:?}")));
    };
    if found != latents {
        return Err(mismatch(&args, format!("{latents} latents"), found.to_string()));
    }
    if let Some(bad) = codes.iter().position(|code| !code.is_finite()) {
        let place = format!("{} in row {}, column {}", codes[bad], bad / found, bad % found);
        return Err(mismatch(&args, "finite numbers".into(), place));
    }
    let z = Tensor::from_data(TensorData::new(codes, [count, found]), device);
    save_images(&args.output, trained.model.decode(z), None)
}

fn mismatch(args: &Decode, expected: String, found: String) -> anyhow::Error {
    Error::Mismatch {
        what: format!("the codes in {}", args.input.display()),
        expected,
        found,
        hint: "`betavae encode` writes codes of the right form".into(),
    }
    .into()
}
