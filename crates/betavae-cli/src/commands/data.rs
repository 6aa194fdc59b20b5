//! `data list`, `data info`, `data fetch` and `data export`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use betavae::Error;
use betavae::config::change_data;
use betavae::data::fetch::fetch;
use betavae::data::sets::{OfficialSet, SETS};
use betavae::data::{self, Dataset, read_batch};
use betavae::npz::NpzWriter;
use betavae::words::thousands;
use serde_json::{Value, json};

use super::{check_ending, open, open_quietly};
use crate::args::{Data, DataCommand};
use crate::output::{print, print_json, say};
use crate::progress;

/// Images held in memory at a time while exporting.
const CHUNK: usize = 4096;

pub fn data(args: Data) -> anyhow::Result<()> {
    match args.command {
        DataCommand::List { json } => list(json),
        DataCommand::Info { images, set, json } => info(images.word(), &set, json),
        DataCommand::Fetch { name, output, url } => download(&name, output, url.as_deref()),
        DataCommand::Export { images, set, indices, seed, output } => {
            check_ending(&output, &["npz"])?;
            export(
                &*open(&change_data(&data::config_by_word(images.word())?, &set)?, seed)?,
                indices,
                &output,
            )
        }
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    if json {
        let rendered = |(name, about): &(&str, &str)| json!({ "name": name, "about": about });
        let official = |set: &OfficialSet| {
            let mut entry =
                json!({ "name": set.name, "about": set.title, "fetched": is_here(set) });
            describe(set, &mut entry);
            entry
        };
        let entries = data::RENDERED_SETS.iter().map(rendered).chain(SETS.iter().map(official));
        return print_json(&entries.collect::<Vec<_>>());
    }
    let rendered = data::RENDERED_SETS.iter().map(|(name, about)| format!("{name:<20}{about}"));
    let official = SETS.iter().map(|set| {
        let here = if is_here(set) { "fetched" } else { "" };
        let [height, width, channels] = set.shape;
        let (name, images) = (set.name, thousands(set.images));
        let about = format!("{}: {images} images {height}x{width}x{channels}", set.title);
        format!("{name:<20}{here:<9}{about}")
    });
    let rendered = rendered.collect::<Vec<_>>().join("\n");
    let official = official.collect::<Vec<_>>().join("\n");
    print(&format!("{rendered}\n\nOfficial sets, see `betavae data fetch`:\n{official}"))
}

fn is_here(set: &OfficialSet) -> bool {
    set.folder().is_ok_and(|folder| set.is_in(&folder))
}

/// Adds what is published about a set.
fn describe(set: &OfficialSet, entry: &mut Value) {
    entry["title"] = json!(set.title);
    entry["licence"] = json!(set.licence);
    entry["citation"] = json!(set.citation);
    entry["home"] = json!(set.home);
}

/// What is known about a set whose files are not here.
fn info_of_absent(set: &OfficialSet, json: bool) -> anyhow::Result<()> {
    let how = set.how_to_get(&set.folder()?);
    let [height, width, channels] = set.shape;
    if json {
        let factor = |(name, size): &(&str, usize)| json!({ "name": name, "size": size });
        let mut entry = json!({
            "name": set.name,
            "fetched": false,
            "images": set.images,
            "shape": set.shape,
            "factors": set.factors.iter().map(factor).collect::<Vec<_>>(),
            "how_to_get": how,
        });
        describe(set, &mut entry);
        return print_json(&entry);
    }
    let images = thousands(set.images);
    let mut text = format!(
        "{}, not on this machine\nimages   {images} of {height}x{width}x{channels} (height x width \
         x channels)",
        set.title
    );
    for (name, size) in set.factors {
        text += &format!("\nfactor   {name:<16} {size:>4} values");
    }
    print(&format!("{text}{}\nto get it: {how}", published(set)))
}

fn published(set: &OfficialSet) -> String {
    let OfficialSet { licence, citation, home, .. } = set;
    format!("\nlicence  {licence}\ncite     {citation}\nhome     {home}")
}

fn download(name: &str, output: Option<PathBuf>, url: Option<&str>) -> anyhow::Result<()> {
    let Some(set) = OfficialSet::find(name) else {
        let names = SETS.map(|set| set.name).join(", ");
        let message = format!("`{name}` is not an official data set");
        let hint = format!("the official sets are {names}");
        return Err(Error::Config { message, hint }.into());
    };
    let folder = match &output {
        Some(folder) => folder.clone(),
        None => set.folder()?,
    };
    say(&format!("{}: licence {}", set.title, set.licence));
    let (bar, mut progress) = progress::downloads();
    let result = fetch(set, &folder, url, &mut progress);
    bar.finish_and_clear();
    result?;
    let how = match output {
        Some(folder) => format!("data.path={}", folder.display()),
        None => format!("data.name={name}"),
    };
    say(&format!("{} is in {}; train with --set {how}", set.title, folder.display()));
    Ok(())
}

fn info(input: &str, set: &[String], json: bool) -> anyhow::Result<()> {
    let official = OfficialSet::find(input);
    if let Some(set) = official.filter(|set| !is_here(set)) {
        return info_of_absent(set, json);
    }
    let data = open_quietly(&change_data(&data::config_by_word(input)?, set)?, 1)?;
    let factors = data.factors().map_or(&[][..], data::Factors::factors);
    let fingerprint = data.fingerprint()?;
    if json {
        let factor = |f: &data::Factor| {
            let mut entry = json!({ "name": f.name, "size": f.values.len(), "values": f.values });
            if !f.words.is_empty() {
                entry["words"] = json!(f.words);
            }
            entry
        };
        let mut entry = json!({
            "name": data.name(),
            "description": data.description(),
            "images": data.len(),
            "shape": data.shape(),
            "factors": factors.iter().map(factor).collect::<Vec<_>>(),
            "sha256": fingerprint,
            "notes": data.notes(),
        });
        if let Some(set) = official {
            describe(set, &mut entry);
        }
        return print_json(&entry);
    }
    let mut text = format!(
        "{}\nimages   {} of {} (height x width x channels)\nsha256   {fingerprint}",
        data.description(),
        thousands(data.len()),
        data.shape(),
    );
    for factor in factors {
        text += &format!("\nfactor   {:<12} {}", factor.name, classes(factor));
    }
    for note in data.notes() {
        text += &format!("\nnote     {note}");
    }
    print(&(text + &official.map(published).unwrap_or_default()))
}

/// What the classes of a factor are, in a line.
fn classes(factor: &data::Factor) -> String {
    let size = factor.values.len();
    if let (true, [first, .., last] | [first @ last]) =
        (factor.words.is_empty(), &factor.values[..])
    {
        let values = if size == 1 { "value" } else { "values" };
        return format!("{size:>3} {values}, {first} to {last}");
    }
    let words: Vec<&str> = factor.words.iter().take(6).map(String::as_str).collect();
    let more = if size > words.len() { ", ..." } else { "" };
    format!("{size:>3} words: {}{more}", words.join(", "))
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
            progress(start + chunk.len() - indices.start)?;
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
        for factor in known.factors().iter().filter(|factor| !factor.words.is_empty()) {
            let words: Vec<&str> = factor.words.iter().map(String::as_str).collect();
            file.add_text(&format!("words_{}", factor.name), &words)?;
        }
    }
    file.finish()?;
    bar.finish_and_clear();
    say(&format!("wrote {} images {shape} to {}", thousands(indices.len()), output.display()));
    Ok(())
}
