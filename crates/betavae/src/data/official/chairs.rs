//! 3D Chairs (Aubry et al. 2014): `rendered_chairs.tar` or the folder in it.
//!
//! The names say everything: `<model>/renders/image_<number>_p<elevation>_t<azimuth>_r<size>.png`,
//! angles in degrees. Images come model by model, then in the order of their numbers.

use std::path::Path;

use super::super::Factors;
use super::super::bundle::Bundle;
use super::super::stored::{OpenContext, StoredDataset};
use super::{chairs_folder, not_empty, pictures};
use crate::error::{Error, Result};

/// Whether a file is the rendering of a chair.
pub(super) fn is_chair(name: &Path) -> bool {
    ChairView::parse(name).is_some()
}

/// What the name of a file contains.
struct ChairView<'a> {
    model: &'a Path,
    elevation: f64,
    azimuth: f64,
}

impl<'a> ChairView<'a> {
    fn parse(name: &'a Path) -> Option<Self> {
        let (folder, file) = (name.parent()?, name.file_name()?.to_str()?);
        let model = folder.parent().filter(|_| folder.ends_with("renders"))?;
        let mut parts = file.strip_prefix("image_")?.strip_suffix(".png")?.split('_').skip(1);
        let mut angle = |letter| parts.next()?.strip_prefix(letter)?.parse::<u16>().ok();
        Some(Self { model, elevation: f64::from(angle('p')?), azimuth: f64::from(angle('t')?) })
    }
}

/// Opens the renderings, 64x64 in RGB unless configured otherwise.
pub(super) fn open(path: &Path, opening: &mut OpenContext<'_>) -> Result<StoredDataset> {
    let place = chairs_folder(path).unwrap_or_else(|| path.to_owned());
    let bundle = not_empty(path, Bundle::sorted(&place, is_chair)?, "image_*_p*_t*_*.png")?;
    let mut values = Vec::new();
    let (mut models, mut last) = (0_u32, None);
    for name in bundle.names() {
        let Some(view) = ChairView::parse(name) else {
            return Err(Error::file(
                path,
                format!("`{}` is not the rendering of a chair", name.display()),
            ));
        };
        // Names are sorted, so the files of a model follow each other.
        if last != Some(view.model) {
            models += u32::from(last.is_some());
            last = Some(view.model);
        }
        values.extend([f64::from(models), view.elevation, view.azimuth]);
    }
    let factors = Factors::from_values(&["model", "elevation", "azimuth"], &values)?;
    pictures(path, bundle, opening, "3D Chairs", Some(factors))
}
