//! Images that stay on a GPU.

use betavae_gpu::{Device, Encoding, GpuError, ImageStore, Session};
use rayon::prelude::*;

use super::launches;
use crate::config::Config;
use crate::data::{Dataset, read_batch};
use crate::error::{Error, Result};

/// Values of images that are packed and written to a device at a time, more or less.
const VALUES_AT_ONCE: usize = 1 << 24;
/// Images by which it is tried how tightly all can be packed.
const TRIED_IMAGES: usize = 256;

/// How the images of a data set may stay on a device, packed as tightly as they can be without a change, or nothing where they
/// differ between epochs.
///
/// # Errors
/// If an image cannot be read.
pub fn image_store(config: &Config, data: &dyn Dataset) -> Result<Option<ImageStore>> {
    let (images, values) = (data.len(), data.shape().values());
    if !data.is_fixed() || u32::try_from(images).is_err() {
        return Ok(None);
    }
    let signed = config.model().network().signed_images();
    let count = TRIED_IMAGES.min(images);
    let tried: Vec<usize> = (0..count).map(|i| i * images / count).collect();
    let pixels = read_batch(data, &tried, 0)?;
    let packs = |encoding: &Encoding| packed(&pixels, values, *encoding).is_some();
    let tightest = Encoding::ALL.into_iter().find(packs);
    Ok(tightest.map(|encoding| ImageStore { images, values, encoding, signed }))
}

/// A session on whose device all images stay, or nothing where they cannot.
pub(super) fn with_images(
    config: &Config,
    data: &dyn Dataset,
    device: &Device,
) -> Result<Option<Session>> {
    let Some(mut store) = image_store(config, data)? else { return Ok(None) };
    loop {
        if store.bytes() > device.facts().largest_buffer {
            return Ok(None);
        }
        let mut session = match Session::new(device, launches(config, data.len(), Some(store))?) {
            Err(GpuError::OutOfMemory { .. }) => return Ok(None),
            session => session.map_err(Error::Gpu)?,
        };
        if write_images(&mut session, data, store.encoding)? {
            return Ok(Some(session));
        }
        // An image that was not tried has finer values. Any can be stored so.
        store.encoding = Encoding::Floats;
    }
}

/// Writes all images to a device. Whether all can be packed so.
fn write_images(session: &mut Session, data: &dyn Dataset, encoding: Encoding) -> Result<bool> {
    let values = data.shape().values();
    let at_once = (VALUES_AT_ONCE / values).max(1);
    for first in (0..data.len()).step_by(at_once) {
        let images: Vec<usize> = (first..data.len().min(first + at_once)).collect();
        let pixels = read_batch(data, &images, 0)?;
        let Some(words) = packed(&pixels, values, encoding) else { return Ok(false) };
        session.write_images(first, &words).map_err(Error::Gpu)?;
    }
    Ok(true)
}

/// The words of images of so many values each, unless one cannot be packed so.
fn packed(pixels: &[f32], values: usize, encoding: Encoding) -> Option<Vec<u32>> {
    let words = pixels.par_chunks(values).map(|image| encoding.pack(image));
    words.collect::<Option<Vec<_>>>().map(|words| words.concat())
}
