//! `encode` and `decode`.

use betavae::checkpoint::Trained;
use betavae::evaluate::{self, subset};
use betavae::npz::{NpzWriter, read_f32};
use betavae::{Device, Error, Tensor, TensorData};

use super::{extension, open_for, unknown_format};
use crate::args::{Decode, Encode};
use crate::commands::pictures::save_images;
use crate::output::say;
use crate::progress;

pub fn encode(args: Encode, device: &Device) -> anyhow::Result<()> {
    if extension(&args.output) != "npz" {
        return Err(unknown_format(&args.output, ".npz"));
    }
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, Some(&args.input))?;
    let indices = subset(data.len(), args.limit.unwrap_or(data.len()));
    let (bar, mut progress) = progress::images(indices.len());
    let codes = evaluate::encode(&trained.model, &*data, &indices, &mut progress)?;
    bar.finish_and_clear();
    let shape = [indices.len(), codes.latents];
    let mut file = NpzWriter::create(&args.output)?;
    file.add("mean", &shape, &codes.mean)?;
    file.add("log_var", &shape, &codes.log_var)?;
    if args.limit.is_some() {
        // Which images these are.
        let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
        file.add("indices", &[indices.len()], &indices)?;
    }
    let names = indices.iter().map(|index| data.file_name(*index));
    if let Some(names) = names.collect::<Option<Vec<_>>>() {
        let names: Vec<_> = names.into_iter().map(|name| name.to_string_lossy()).collect();
        file.add_text("files", &names)?;
    }
    file.finish()?;
    say(&format!("wrote mean and log_var {shape:?} to {}", args.output.display()));
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
