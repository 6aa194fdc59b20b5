//! The latent explorer: one page in which the model itself runs, to be opened from a file or sent to a
//! colleague.
//!
//! `page.html`, `page.css` and `page.js` are the page. `explorer.wasm` is `betavae-web` compiled by
//! `scripts/build-web.sh`. They are put together with the model as a [`betavae_infer::Program`], both
//! compressed, and with what the data says about the latents.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use image::{ImageFormat, RgbImage, imageops};
use serde::Serialize;

use crate::checkpoint::Trained;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::evaluate::{Codes, encode, load, subset};
use crate::figures::pictures;
use crate::files::write_atomically;
use crate::objective::ACTIVE_NATS;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const MODULE: &[u8] = include_bytes!("explorer.wasm");

/// Images of the data set that the page offers for encoding.
const EXAMPLES: usize = 16;
/// Images whose codes tell where the data lies.
const SAMPLE: usize = 512;

/// What the page's script reads.
#[derive(Serialize)]
struct Info<'a> {
    about: String,
    /// [H, W, C]
    image: [usize; 3],
    latents: usize,
    /// Latents by falling KL.
    order: Vec<usize>,
    /// KL of each latent in nats; empty if unknown.
    kl: &'a [f64],
    /// Latents with more KL than this are in use.
    active: f32,
    /// Sliders go from -range to range.
    range: f64,
    codes: Option<CodeStatistics>,
    examples: Option<Examples>,
}

/// Where the codes of the data lie, for each latent.
#[derive(Serialize)]
struct CodeStatistics {
    /// Mean of the posterior means.
    mean: Vec<f64>,
    /// Standard deviation of the posterior means.
    deviation: Vec<f64>,
    /// Root of the mean posterior variance.
    spread: Vec<f64>,
}

/// Pictures one below the other.
#[derive(Serialize)]
struct Examples {
    indices: Vec<usize>,
    count: usize,
    /// A PNG as a data URL.
    sheet: String,
}

/// The page. `data`, if it is there, gives example images and the range of the codes; `range` is how
/// far sliders go to both sides.
///
/// # Errors
/// If an image cannot be read, or does not fit the model.
pub fn page(trained: &Trained, data: Option<&dyn Dataset>, range: f64) -> Result<String> {
    let model = &trained.model;
    let description = &trained.description;
    let image = model.network().image;
    let (codes, examples) = match data.filter(|data| !data.is_empty()) {
        None => (None, None),
        Some(data) => {
            let codes = encode(model, data, &subset(data.len(), SAMPLE), &mut |_| Ok(()))?;
            (Some(statistics(&codes)), Some(examples(data, trained)?))
        }
    };
    let trained_on = description.data().ok();
    let data_name = trained_on.and_then(|data| {
        let of_path = data.path.as_ref().and_then(|path| path.file_name());
        data.name.or(of_path.map(|name| name.to_string_lossy().into_owned()))
    });
    let data_name = data_name.unwrap_or_else(|| "images".into());
    let info = Info {
        about: format!(
            "{data_name}, {image}: {}, {} latents, {} steps",
            description.objective,
            model.latents(),
            description.step
        ),
        image: image.into(),
        latents: model.latents(),
        order: trained.latents_by_kl(),
        kl: &description.kl_per_latent,
        active: ACTIVE_NATS,
        range,
        codes,
        examples,
    };
    let info = serde_json::to_string(&info)
        .map_err(|error| Error::config(format!("cannot describe the model: {error}"), ""))?;
    let words = model.to_program().to_words();
    let parts = [
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("title", escaped(&format!("Latents of {data_name}"))),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        // A script element ends at the first `</`, wherever that stands.
        ("info", info.replace('<', "\\u003c")),
        ("module", compressed(MODULE)),
        ("program", compressed(&planes(&words))),
    ];
    Ok(filled(PAGE, &parts))
}

/// Writes a page to a file, completely or not at all.
///
/// # Errors
/// If the disk does.
pub fn write(path: &Path, page: &str) -> Result<()> {
    write_atomically(path, page.as_bytes())
}

/// Puts texts in the place of `{{name}}`; what is put in is not looked at again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let part = parts.iter().find(|(part, _)| *part == name);
        page += before;
        page += part.map_or("", |(_, text)| text);
        rest = after;
    }
    page + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// First the lowest bytes of all words, then the next: signs and exponents, which are alike, end up
/// together.
fn planes(words: &[u32]) -> Vec<u8> {
    (0..4).flat_map(|plane| words.iter().map(move |word| word.to_le_bytes()[plane])).collect()
}

/// Deflated, in base64.
fn compressed(bytes: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    BASE64_STANDARD
        .encode(written.unwrap_or_else(|error| unreachable!("memory takes all bytes: {error}")))
}

fn statistics(codes: &Codes) -> CodeStatistics {
    let (latents, count) = (codes.latents, (codes.mean.len() / codes.latents) as f64);
    let average = |values: &dyn Fn(usize) -> f64, d: usize| {
        (d..codes.mean.len()).step_by(latents).map(values).sum::<f64>() / count
    };
    let all = |f: &dyn Fn(usize) -> f64| (0..latents).map(f).collect::<Vec<f64>>();
    let mean = all(&|d| average(&|i| f64::from(codes.mean[i]), d));
    let variance = |d: usize| average(&|i| (f64::from(codes.mean[i]) - mean[d]).powi(2), d);
    let spread = |d: usize| average(&|i| f64::from(codes.log_var[i]).exp(), d).sqrt();
    CodeStatistics { deviation: all(&|d| variance(d).sqrt()), spread: all(&spread), mean }
}

fn examples(data: &dyn Dataset, trained: &Trained) -> Result<Examples> {
    let indices = subset(data.len(), EXAMPLES);
    let pictures = pictures(load(data, &indices, &trained.model.device())?);
    let [height, width] = [data.shape().height, data.shape().width].map(|side| side as u32);
    let mut sheet = RgbImage::new(width, height * pictures.len() as u32);
    for (i, picture) in pictures.iter().enumerate() {
        imageops::replace(&mut sheet, picture, 0, i as i64 * i64::from(height));
    }
    let mut png = std::io::Cursor::new(Vec::new());
    sheet
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Error::config(format!("cannot write example images: {error}"), ""))?;
    let sheet = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner()));
    Ok(Examples { count: indices.len(), indices, sheet })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_once() {
        let parts = [("a", "{{b}}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(filled("<{{a}}|{{b}}>", &parts), "<{{b}}|x>");
    }

    #[test]
    fn planes_hold_all_bytes() {
        let words = [0x0403_0201, 0x0807_0605];
        assert_eq!(planes(&words), [1, 5, 2, 6, 3, 7, 4, 8]);
    }

    #[test]
    fn statistics_of_known_codes() {
        let codes = Codes {
            latents: 2,
            mean: vec![1.0, 0.0, 3.0, 0.0],
            log_var: vec![0.0, 4.0_f32.ln(), 0.0, 4.0_f32.ln()],
        };
        let found = statistics(&codes);
        assert_eq!((found.mean, found.deviation), (vec![2.0, 0.0], vec![1.0, 0.0]));
        assert!(found.spread.iter().zip([1.0, 2.0]).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
