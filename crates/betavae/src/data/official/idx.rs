//! The idx files of MNIST and Fashion-MNIST: big-endian sizes, then bytes.
//!
//! Images are `train-images-idx3-ubyte` or `t10k-...`, the labels beside them
//! `train-labels-idx1-ubyte`, each possibly with `.gz`.

use std::path::{Path, PathBuf};

use super::input::Input;
use super::raw::{ContiguousImages, MAX_VALUES, RawImages, image_shape};
use crate::error::{Error, Result};

const IMAGES: [u8; 4] = [0, 0, 8, 3];
const LABELS: [u8; 4] = [0, 0, 8, 1];

/// Whether a file that starts with these bytes is one of images or labels.
pub(super) fn reads(start: &[u8]) -> bool {
    start.starts_with(&IMAGES) || start.starts_with(&LABELS)
}

/// Opens a file of images and, if it is in the same folder, the file of their labels.
pub(super) fn open(path: &Path) -> Result<RawImages> {
    let mut input = Input::open(path)?;
    let magic = input.take("the header")?;
    if magic == LABELS {
        let hint = "give the file of images, such as train-images-idx3-ubyte.gz, or its folder";
        return Err(input.error("it holds labels, expected images", hint));
    }
    let [len, height, width] = sizes(&mut input)?;
    input.expect("images", &[len, height, width])?;
    let shape = image_shape(path, [height, width, 1])?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    if let Some(path) = labels_of(path) {
        names.push("class".to_owned());
        values = labels(&path, len)?.into_iter().map(f64::from).collect();
    }
    let images = Box::new(ContiguousImages::new(input, len as u64 * shape.values() as u64));
    Ok(RawImages { about: "idx images".into(), len, shape, white: 255, names, values, images })
}

/// The next big-endian sizes.
fn sizes<const N: usize>(input: &mut Input) -> Result<[usize; N]> {
    let mut sizes = [0; N];
    for size in &mut sizes {
        *size = u32::from_be_bytes(input.take("the header")?) as usize;
    }
    Ok(sizes)
}

/// The file of labels that belongs to a file of images.
fn labels_of(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let name = name.trim_end_matches(".gz").replace("images", "labels").replace("idx3", "idx1");
    ["", ".gz"]
        .map(|end| images.with_file_name(format!("{name}{end}")))
        .into_iter()
        .find(|labels| labels != images && labels.is_file())
}

fn labels(path: &Path, images: usize) -> Result<Vec<u8>> {
    let mut input = Input::open(path)?;
    if input.take("the header")? != LABELS {
        return Err(input.error("expected an idx file of labels, found something else", ""));
    }
    let [len] = sizes(&mut input)?;
    if len != images || len > MAX_VALUES {
        return Err(Error::Mismatch {
            what: path.display().to_string(),
            expected: format!("{images} labels, one per image"),
            found: len.to_string(),
            hint: "take images and labels of the same part, train or t10k".into(),
        });
    }
    let labels = input.bytes(len, "the labels")?;
    input.end()?;
    Ok(labels)
}

/// The files of images in a folder: those of the training set and those of the test set.
pub(super) fn in_folder(folder: &Path) -> [Option<PathBuf>; 2] {
    ["train", "t10k"].map(|part| {
        let forms = ["images-idx3-ubyte", "images-idx3-ubyte.gz", "images.idx3-ubyte"];
        forms.iter().map(|form| folder.join(format!("{part}-{form}"))).find(|path| path.is_file())
    })
}
