//! SmallNORB: stereo pairs of 50 toys in a matrix format of their own (LeCun, Huang & Bottou 2004).
//!
//! A file is an int32 for the type, the number of axes, at least three axes, and the elements,
//! all little-endian; the names end with `.mat`, but MATLAB is not meant. `-dat` holds the images,
//! `-cat` the category, `-info` instance, elevation, azimuth (in steps of 10 degrees, only even) and
//! lighting. As everywhere in the field, the first image of each pair is used, and the instance is
//! no factor.

use std::path::{Path, PathBuf};

use super::super::reader::ImageReader;
use super::input::Input;
use super::raw::{MAX_VALUES, RawImages, image_shape};
use crate::error::{Error, Result};

const BYTES: [u8; 4] = 0x1E3D_4C55_u32.to_le_bytes();
const INTEGERS: [u8; 4] = 0x1E3D_4C54_u32.to_le_bytes();

/// The usual size of the images, two thirds of what is stored.
pub(super) const SIZE: [usize; 2] = [64, 64];

/// Whether a file that starts with these bytes is a matrix of this format.
pub(super) fn reads(start: &[u8]) -> bool {
    start.starts_with(&BYTES) || start.starts_with(&INTEGERS)
}

/// Opens a `-dat` file and, if they are in the same folder, its `-cat` and `-info` files.
pub(super) fn open(path: &Path) -> Result<RawImages> {
    let mut input = Input::open(path)?;
    let magic: [u8; 4] = input.take("the header")?;
    if magic == INTEGERS {
        let hint = "give the file that ends with -dat.mat or -dat.mat.gz, or its folder";
        return Err(input.error("it holds labels, expected images", hint));
    }
    let axes = axes(&mut input)?;
    let &[len, pair @ 2, height, width] = axes.as_slice() else {
        let reason = format!("expected axes [N, 2, H, W] of stereo pairs, found {axes:?}");
        return Err(input.error(reason, ""));
    };
    input.expect("images", &[len, pair, height, width])?;
    let shape = image_shape(path, [height, width, 1])?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    if let (Some(categories), Some(info)) = (companion(path, "cat"), companion(path, "info")) {
        names = ["category", "elevation", "azimuth", "lighting"].map(str::to_owned).to_vec();
        let categories = integers(&categories, len, 1)?;
        let info = integers(&info, len, 4)?;
        for (category, row) in categories.iter().zip(info.as_chunks::<4>().0) {
            let [_instance, elevation, azimuth, lighting] = *row;
            values.extend([*category, elevation, azimuth, lighting].map(f64::from));
        }
    }
    let images = Box::new(FirstOfPairs { input, skipped: vec![0; shape.values()], left: len });
    Ok(RawImages { about: "SmallNORB".into(), len, shape, white: 255, names, values, images })
}

/// The first image of every pair.
struct FirstOfPairs {
    input: Input,
    skipped: Vec<u8>,
    left: usize,
}

impl ImageReader for FirstOfPairs {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        for image in bytes.chunks_exact_mut(self.skipped.len()) {
            self.input.fill(image, "the pixels")?;
            self.input.fill(&mut self.skipped, "the pixels")?;
            self.left = self.left.saturating_sub(1);
        }
        if self.left == 0 { self.input.end() } else { Ok(()) }
    }
}

fn axes(input: &mut Input) -> Result<Vec<usize>> {
    let mut size = || Ok(u32::from_le_bytes(input.take("the header")?) as usize);
    let count = size()?;
    if !(1..=4).contains(&count) {
        return Err(input.error(format!("expected 1 to 4 axes, found {count}"), ""));
    }
    let mut axes = Vec::new();
    for _ in 0..count.max(3) {
        axes.push(size()?);
    }
    axes.truncate(count);
    Ok(axes)
}

/// The file of the same part of the set that holds something else.
fn companion(path: &Path, what: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name).strip_suffix("-dat.mat")?;
    ["", ".gz"]
        .map(|end| path.with_file_name(format!("{name}-{what}.mat{end}")))
        .into_iter()
        .find(|path| path.is_file())
}

/// An [N, columns] matrix of integers.
fn integers(path: &Path, rows: usize, columns: usize) -> Result<Vec<i32>> {
    let mut input = Input::open(path)?;
    if input.take("the header")? != INTEGERS {
        return Err(input.error("expected a SmallNORB matrix of int32, found something else", ""));
    }
    let axes = axes(&mut input)?;
    let expected = if columns == 1 { vec![rows] } else { vec![rows, columns] };
    let count = rows.saturating_mul(columns);
    if axes != expected || count > MAX_VALUES {
        return Err(Error::Mismatch {
            what: path.display().to_string(),
            expected: format!("labels of {rows} images, axes {expected:?}"),
            found: format!("{axes:?}"),
            hint: "take the files of the same part, training or testing".into(),
        });
    }
    let bytes = input.bytes(count * 4, "the labels")?;
    input.end()?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
}

/// The `-dat` files in a folder: training and testing.
pub(super) fn in_folder(folder: &Path) -> [Option<PathBuf>; 2] {
    ["5x46789x9x18x6x2x96x96-training", "5x01235x9x18x6x2x96x96-testing"].map(|part| {
        let forms = ["mat", "mat.gz"];
        forms
            .iter()
            .map(|form| folder.join(format!("smallnorb-{part}-dat.{form}")))
            .find(|path| path.is_file())
    })
}
