//! Images in an array of a NumPy `.npy` or `.npz` file.
//!
//! Decides which array holds the images, how its axes are ordered and what its values mean; the
//! file format itself is [`crate::npz`]'s business. Accepted are shapes [N, H, W], [N, H, W, C] and
//! [N, C, H, W], and grids of factors with more axes before the image, of `uint8`, `bool` or `float32`.
//! Bytes stand for value / 255 unless none is above 1, which makes the set binary; floats must lie
//! in [0, 1]. Uncompressed arrays are read where they are.

use std::path::Path;

use super::cache::{Entry, Key};
use super::labels;
use super::official::known_grid;
use super::store::{Form, Store};
use super::stored::{Opening, Pass, Stored, kind};
use super::{Factor, FactorGrid, Factors, ImageShape, Layout};
use crate::error::{Error, Result};
use crate::npz::Source;

/// Longest axis that counts the values of a factor.
const MAX_CLASSES: usize = 1 << 20;

/// Reads the images of the `.npy` or `.npz` file at `path`.
pub(super) fn open(path: &Path, opening: &mut Opening<'_>) -> Result<Stored> {
    let config = opening.config;
    let folder_only = [
        ("size", config.size.is_some()),
        ("crop", config.crop.is_some()),
        ("channels", config.channels.is_some()),
    ];
    if let Some((key, _)) = folder_only.iter().find(|(_, set)| *set) {
        return Err(Error::config(
            format!("data.{key} applies to folders of images, not to {}", path.display()),
            format!("remove data.{key}, or resize the images before saving the array"),
        ));
    }
    let mut source = Source::open(path)?;
    let member = choose(&source, path, config.key.as_deref())?;
    let layout = interpret(&source, member, config.layout)?;
    let dtype = source.dtype(member)?;
    let form = Form { len: layout.len, shape: layout.shape, dtype, planar: layout.planar };
    let factors = match &config.labels {
        Some(labels) => Some(labels::of_rows(&labels::beside(path, labels), form.len)?),
        None => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let known = || known_grid(&name, form.len, form.shape).map(Factors::Grid);
            labels::among(&mut source, member, form.len)?.or(layout.grid).or_else(known)
        }
    };

    let key = Key::new(path, &[], config)?;
    let found = opening.cache.find(&key).filter(|entry| entry.form == form.arranged());
    let in_place = source.place(member)?;
    let blame = source.blame(member);
    let look = |source: &mut Source, opening: &mut Opening<'_>| match &in_place {
        None => source.stream(member, |elements| {
            let mut fill = |bytes: &mut [u8]| elements.fill(bytes).map_err(&blame);
            let (store, facts) =
                Pass { form, fill: &mut fill, blame: &blame }.prepare(opening, &key)?;
            Ok::<_, Error>((Some(store), facts))
        }),
        Some(_) => {
            let facts = source.stream(member, |elements| {
                let mut fill = |bytes: &mut [u8]| elements.fill(bytes).map_err(&blame);
                Pass { form, fill: &mut fill, blame: &blame }.look(opening)
            })?;
            if form.sizes().is_some_and(|(_, all)| all > opening.cache.glance) {
                opening.cache.keep(&key, form, &facts);
            }
            Ok((None, facts))
        }
    };
    let (prepared, facts) = match found {
        Some(Entry { store, facts, .. }) if store.is_some() || in_place.is_some() => (store, facts),
        _ => look(&mut source, opening)?,
    };
    let store = match (prepared, in_place) {
        (_, Some((file, start))) => Store::file(form, file, path, start),
        (Some(store), None) => store,
        (None, None) => return Err(Error::file(path, "the file changed while it was read")),
    };
    let white = if facts.brightest <= 1 { 1 } else { 255 };
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(Stored {
        name: path.display().to_string(),
        about: format!("({}) of {file_name}", kind(dtype, white)),
        store,
        white,
        sha256: facts.sha256,
        factors,
        files: Vec::new(),
    })
}

/// The array that holds the images.
fn choose(source: &Source, path: &Path, key: Option<&str>) -> Result<usize> {
    if !source.is_npz() {
        return match key {
            None => Ok(0),
            Some(key) => Err(Error::config(
                format!("data.key is `{key}`, but {} is a single array", path.display()),
                "remove data.key: it applies to .npz files",
            )),
        };
    }
    if let Some(key) = key {
        return source.find(key);
    }
    let called = |name| source.members.iter().position(|member| member.name == name);
    if let Some(member) = called("imgs").or(called("images")) {
        return Ok(member);
    }
    let has_images = |member: &usize| source.shape(*member).is_ok_and(|axes| axes.len() >= 3);
    let candidates: Vec<usize> = (0..source.members.len()).filter(has_images).collect();
    let (count, hint) = match candidates.as_slice() {
        [member] => return Ok(*member),
        [] => ("no array", ""),
        _ => ("more than one array", "name one with `--set data.key=NAME`"),
    };
    let list = source.listing();
    let reason = format!("{count} has 3 or 4 axes as images do; the file has {list}");
    Err(Error::file_hint(path, reason, hint))
}

/// What the axes of an array mean.
struct Axes {
    len: usize,
    shape: ImageShape,
    /// Whether channels come before rows.
    planar: bool,
    /// The factors that axes before those of an image count.
    grid: Option<Factors>,
}

/// Number and shape of the images in an array, and which axis of each image is the channel.
fn interpret(source: &Source, member: usize, layout: Option<Layout>) -> Result<Axes> {
    let axes = source.shape(member)?;
    let (before, shape, planar) = match (axes, layout) {
        ([n, h, w], _) => (std::slice::from_ref(n), ImageShape::new(*h, *w, 1), false),
        ([n @ .., h, w, c], Some(Layout::Nhwc)) => (n, ImageShape::new(*h, *w, *c), false),
        ([n @ .., c, h, w], Some(Layout::Nchw)) => (n, ImageShape::new(*h, *w, *c), true),
        ([_, h, w, c @ ..=4], None) => (&axes[..1], ImageShape::new(*h, *w, *c), false),
        ([_, c @ ..=4, h, w], None) => (&axes[..1], ImageShape::new(*h, *w, *c), true),
        // In a longer shape, a short axis before the last two may be a factor.
        ([n @ .., h, w, c @ ..=4], None) if n.len() > 1 && h.min(w) > &4 => {
            (n, ImageShape::new(*h, *w, *c), false)
        }
        ([_, _, _, _, ..], None) => {
            let reason = format!("cannot tell which axis of {axes:?} is the channel");
            let hint = "say it with `--set data.layout=nhwc` or `--set data.layout=nchw`";
            return Err(source.error(member, &reason, hint));
        }
        _ => {
            let reason = format!(
                "expected images of shape [N, H, W], [N, H, W, C] or [N, C, H, W], found {axes:?}"
            );
            return Err(source.error(member, &reason, ""));
        }
    };
    if axes.contains(&0) {
        return Err(source.error(member, &format!("shape {axes:?} holds no pixels"), ""));
    }
    let len = before.iter().try_fold(1_usize, |all, axis| all.checked_mul(*axis));
    let is_factor = |axis: &usize| before.len() == 1 || *axis <= MAX_CLASSES;
    let Some(len) = len.filter(|_| before.iter().all(is_factor)) else {
        return Err(source.error(member, &format!("shape {axes:?} is too large"), ""));
    };
    let factor = |(i, size): (usize, &usize)| {
        Factor::linspace(&format!("factor_{i}"), 0.0, (size - 1) as f64, *size)
    };
    let grid = (before.len() > 1).then(|| {
        Factors::Grid(FactorGrid { factors: before.iter().enumerate().map(factor).collect() })
    });
    Ok(Axes { len, shape, planar, grid })
}

#[cfg(test)]
mod tests;
