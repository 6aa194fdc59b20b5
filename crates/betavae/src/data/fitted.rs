//! A data set whose images are cut, resized or converted at every visit: rendered sets, whose images carry
//! fresh noise, and arrays, whose values may be floats.

use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::geometry::Geometry;
use super::{DataConfig, Dataset, Factors, ImageShape};
use crate::error::Result;

/// Images of another data set in another shape.
struct FittedDataset {
    data: Arc<dyn Dataset>,
    geometry: Geometry,
    shape: ImageShape,
    notes: Vec<String>,
}

/// The data set with the shape that is configured: itself, if it has it already.
pub(super) fn fit(data: Arc<dyn Dataset>, config: &DataConfig) -> Result<Arc<dyn Dataset>> {
    let geometry = Geometry::new(config)?;
    let shape = geometry.target(Path::new(data.name()), data.shape())?;
    let Some(words) = geometry.words(data.shape(), shape) else { return Ok(data) };
    let mut notes = data.notes().to_vec();
    notes.push(format!("images are {words}"));
    Ok(Arc::new(FittedDataset { data, geometry, shape, notes }))
}

impl Dataset for FittedDataset {
    fn name(&self) -> &str {
        self.data.name()
    }

    fn description(&self) -> String {
        format!("{}, as {}", self.data.description(), self.shape)
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let from = self.data.shape();
        let mut whole = vec![0.0; from.values()];
        self.data.read(index, epoch, &mut whole)?;
        let path = Path::new(self.data.name());
        let fitted = self.geometry.fit(path, &whole, from, self.shape)?;
        // Weights sum to 1 up to rounding.
        pixels.iter_mut().zip(fitted).for_each(|(pixel, value)| *pixel = value.clamp(0.0, 1.0));
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        self.data.is_fixed()
    }

    fn factors(&self) -> Option<&Factors> {
        self.data.factors()
    }

    fn file_name(&self, index: usize) -> Option<&Path> {
        self.data.file_name(index)
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(self.data.fingerprint()?);
        hash.update(format!("{:?} {}", self.geometry, self.shape));
        Ok(HEXLOWER.encode(&hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dsprites::DSprites;
    use crate::data::variants::Variant;

    #[test]
    fn rendered_images_become_smaller_by_averaging() {
        let config: DataConfig = toml::from_str("size = 32\nchannels = 3").unwrap();
        let whole: Arc<dyn Dataset> = Arc::new(DSprites::new());
        let data = fit(whole.clone(), &config).unwrap();
        assert_eq!((data.shape(), data.len()), (ImageShape::new(32, 32, 3), whole.len()));
        assert_eq!(data.white(), 255, "averages are no zeros and ones");
        let (mut large, mut small) = (vec![0.0; 64 * 64], vec![0.0; 32 * 32 * 3]);
        whole.read(41_512, 0, &mut large).unwrap();
        data.read(41_512, 0, &mut small).unwrap();
        for (i, pixel) in small.as_chunks::<3>().0.iter().enumerate() {
            let (y, x) = (i / 32 * 2, i % 32 * 2);
            let block = [0, 1, 64, 65].map(|offset| large[y * 64 + x + offset]);
            assert_eq!(*pixel, [block.iter().sum::<f32>() / 4.0; 3]);
        }
        assert_ne!(data.fingerprint().unwrap(), whole.fingerprint().unwrap());
        assert_eq!(data.notes(), ["images are resized from 64x64 to 32x32, made RGB"]);
        assert_eq!(data.factors(), whole.factors());
    }

    #[test]
    fn noise_follows_the_epoch_and_nothing_to_do_is_nothing_done() {
        let whole: Arc<dyn Dataset> = Arc::new(Variant::noisy(3));
        let data = fit(whole.clone(), &toml::from_str("crop = [8, 9]").unwrap()).unwrap();
        let read = |epoch| {
            let mut pixels = vec![0.0; data.shape().values()];
            data.read(5, epoch, &mut pixels).unwrap();
            pixels
        };
        assert_eq!(read(2), read(2));
        assert_ne!(read(2), read(3));
        let same = fit(whole.clone(), &toml::from_str("size = 64").unwrap()).unwrap();
        assert!(Arc::ptr_eq(&same, &whole));
    }
}
