//! `data list`, `data info` and `data export`.

use std::ops::Range;
use std::path::Path;

use betavae::Error;
use betavae::data::{self, Dataset, read_batch};
use betavae::npz::NpzWriter;
use serde_json::json;

use super::open;
use crate::args::{Data, DataCommand};
use crate::output::{print, print_json, say, thousands};
use crate::progress;

/// Images held in memory at a time while exporting.
const CHUNK: usize = 4096;

pub fn data(args: Data) -> anyhow::Result<()> {
    match args.command {
        DataCommand::List { json } => list(json),
        DataCommand::Info { input, json } => info(&input, json),
        DataCommand::Export { input, indices, seed, output } => {
            export(&*open(&data::by_word(&input)?, seed)?, indices, &output)
        }
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    if json {
        let entry = |(name, about): &(&str, &str)| json!({ "name": name, "about": about });
        return print_json(&data::NAMES.iter().map(entry).collect::<Vec<_>>());
    }
    let lines = data::NAMES.map(|(name, about)| format!("{name:<18}{about}"));
    print(&lines.join("\n"))
}

fn info(input: &str, json: bool) -> anyhow::Result<()> {
    let data = open(&data::by_word(input)?, 1)?;
    let factors = data.factors().map_or(&[][..], data::Factors::factors);
    let fingerprint = data.fingerprint()?;
    if json {
        let factor = |f: &data::Factor| json!({ "name": f.name, "size": f.values.len(), "values": f.values });
        return print_json(&json!({
            "name": data.name(),
            "description": data.description(),
            "images": data.len(),
            "shape": data.shape(),
            "factors": factors.iter().map(factor).collect::<Vec<_>>(),
            "sha256": fingerprint,
        }));
    }
    let mut text = format!(
        "{}\nimages   {} of {} (height x width x channels)\nsha256   {fingerprint}",
        data.description(),
        thousands(data.len()),
        data.shape(),
    );
    for factor in factors {
        let (first, last) = (factor.values.first(), factor.values.last());
        if let (Some(first), Some(last)) = (first, last) {
            let size = factor.values.len();
            text += &format!("\nfactor   {:<12} {size:>3} values, {first} to {last}", factor.name);
        }
    }
    print(&text)
}

fn export(data: &dyn Dataset, indices: Option<Range<usize>>, output: &Path) -> anyhow::Result<()> {
    let indices = indices.unwrap_or(0..data.len());
    if indices.end > data.len() {
        return Err(Error::Mismatch {
            what: "--indices".into(),
            expected: format!("at most {}, the number of images", data.len()),
            found: indices.end.to_string(),
            hint: String::new(),
        }
        .into());
    }
    let shape = data.shape();
    let mut axes = vec![indices.len(), shape.height, shape.width];
    if shape.channels > 1 {
        axes.push(shape.channels);
    }
    let (bar, mut progress) = progress::images(indices.len());
    let mut file = NpzWriter::create(output)?;
    {
        let white = f32::from(data.white());
        let mut array = file.begin::<u8>("imgs", &axes)?;
        for start in indices.clone().step_by(CHUNK) {
            let chunk: Vec<usize> = (start..indices.end.min(start + CHUNK)).collect();
            let pixels = read_batch(data, &chunk, 0)?;
            let bytes: Vec<u8> = pixels.iter().map(|pixel| (pixel * white).round() as u8).collect();
            array.write(&bytes)?;
            progress(start + chunk.len() - indices.start);
        }
    }
    if let Some(known) = data.factors() {
        let shape = [indices.len(), known.factors().len()];
        let classes: Vec<usize> = indices.clone().flat_map(|i| known.classes(i)).collect();
        let factors = known.factors().iter().cycle();
        let values: Vec<f64> =
            classes.iter().zip(factors).map(|(class, factor)| factor.values[*class]).collect();
        let classes: Vec<i64> = classes.into_iter().map(|class| class as i64).collect();
        file.add("latents_classes", &shape, &classes)?;
        file.add("latents_values", &shape, &values)?;
        let names: Vec<&str> = known.factors().iter().map(|factor| &*factor.name).collect();
        file.add_text("factor_names", &names)?;
    }
    file.finish()?;
    bar.finish_and_clear();
    say(&format!("wrote {} images {shape} to {}", thousands(indices.len()), output.display()));
    Ok(())
}
