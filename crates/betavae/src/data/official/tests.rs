//! The fixtures were written by h5py, scipy, numpy, gzip, tarfile, zipfile and pillow: see
//! `fixtures/official/generate.py`, whose formula for pixels is repeated here.

mod hostile;

use std::fs;
use std::fs::File;
use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::data::cache::Cache;
use crate::data::reader::{self, ImageReader};
use crate::data::source::Source;
use crate::data::{Dataset, Factors, ImageShape};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/official").join(name)
}

fn config(toml: &str) -> DataConfig {
    toml::from_str(toml).unwrap()
}

/// Copies of fixtures in an empty folder, unpacked if they are called so.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in files {
        let mut bytes = fs::read(fixture(from)).unwrap();
        if from.ends_with(".gz") && !to.ends_with(".gz") {
            let packed = std::mem::take(&mut bytes);
            GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        }
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    folder
}

/// What a reader gives.
struct ReadFile {
    len: usize,
    shape: ImageShape,
    white: u8,
    factors: Option<Factors>,
    pixels: Pixels,
}

enum Pixels {
    Unread(Box<dyn ImageReader + Send>),
    Stored(Box<StoredDataset>),
}

fn opened(path: &Path, toml: &str) -> Result<ReadFile> {
    let kind = OfficialFormat::of(path)?.expect("an official file");
    let config = DataConfig { path: Some(path.to_owned()), ..config(toml) };
    Source::Official(kind).check(&config)?;
    let cache = Cache::at(Path::new("none"), 1 << 30);
    let mut progress = |_, _| ();
    let mut opening = OpenContext::new(&config, &cache, &mut progress);
    if kind.has_pictures() {
        let stored = open(path, kind, &mut opening)?;
        let (len, shape, white) = (stored.len(), stored.shape(), stored.white());
        let factors = stored.factors().cloned();
        return Ok(ReadFile {
            len,
            shape,
            white,
            factors,
            pixels: Pixels::Stored(Box::new(stored)),
        });
    }
    let found = read(path, kind, &mut opening)?.finish(path, &config, kind.usual_size())?;
    let reader::OpenedImages { len, shape, white, factors, images, .. } = found;
    Ok(ReadFile { len, shape, white, factors, pixels: Pixels::Unread(images) })
}

/// All pixels, asked for in uneven pieces where they are not read yet.
fn pixels(opened: &mut ReadFile) -> Result<Vec<u8>> {
    let values = opened.shape.values();
    let mut pixels = vec![0; opened.len * values];
    match &mut opened.pixels {
        Pixels::Unread(images) => {
            let (mut rest, mut piece) = (&mut pixels[..], 1);
            while !rest.is_empty() {
                let (now, then) = rest.split_at_mut(rest.len().min(piece * values));
                images.next(now)?;
                (rest, piece) = (then, piece % 5 + 1);
            }
        }
        Pixels::Stored(stored) => {
            let mut image = vec![0.0; values];
            for (index, bytes) in pixels.chunks_exact_mut(values).enumerate() {
                stored.read(index, 0, &mut image)?;
                let byte = |x: &f32| (x * 255.0).round() as u8;
                bytes.iter_mut().zip(&image).for_each(|(to, from)| *to = byte(from));
            }
        }
    }
    Ok(pixels)
}

/// The formula of `generate.py`.
fn formula(images: impl IntoIterator<Item = usize>, shape: ImageShape) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in images {
        for at in 0..shape.values() {
            let (pixel, c) = (at / shape.channels, at % shape.channels);
            let (y, x) = (pixel / shape.width, pixel % shape.width);
            bytes.push((37 * i + 16 * (y % 8) + 5 * (x % 4) + 90 * c) as u8);
        }
    }
    bytes
}

/// Names and numbers of classes of the factors.
fn sizes(opened: &ReadFile) -> Vec<(&str, usize)> {
    let factors = opened.factors.as_ref().map_or(&[][..], Factors::factors);
    factors.iter().map(|factor| (factor.name.as_str(), factor.values.len())).collect()
}

fn classes(opened: &ReadFile, index: usize) -> Vec<usize> {
    opened.factors.as_ref().unwrap().classes(index)
}

/// The values of factor `k` of all images.
fn values(opened: &ReadFile, k: usize) -> Vec<f64> {
    let factors = opened.factors.as_ref().unwrap();
    (0..opened.len).map(|i| factors.factors()[k].values[factors.classes(i)[k]]).collect()
}

fn failure(path: &Path, toml: &str) -> String {
    let error = match opened(path, toml) {
        Ok(mut opened) => pixels(&mut opened).unwrap_err(),
        Err(error) => error,
    };
    let folder = path.parent().unwrap().display().to_string();
    error.to_string().replace(&folder, "FOLDER")
}

#[test]
fn mnist_in_files_and_folders() {
    let grey = ImageShape::new(28, 28, 1);
    let mut data = opened(&fixture("train-images-idx3-ubyte.gz"), "").unwrap();
    assert_eq!((data.len, data.shape, data.white), (20, grey, 255));
    assert_eq!(pixels(&mut data).unwrap(), formula(0..20, grey));
    let labels: Vec<f64> = (0..20).map(|i| f64::from(i * 3 % 10)).collect();
    assert_eq!((sizes(&data), values(&data, 0)), (vec![("class", 10)], labels));

    let both = [
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
        ("t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"),
    ];
    let place = folder(&both);
    let mut data = opened(place.path(), "").unwrap();
    assert_eq!(pixels(&mut data).unwrap(), formula((0..20).chain(0..6), grey));
    assert_eq!(values(&data, 0)[20..], [0.0, 3.0, 6.0, 9.0, 2.0, 5.0]);
    assert_eq!(opened(place.path(), "split = \"test\"").unwrap().len, 6);
    assert_eq!(opened(place.path(), "split = \"train\"").unwrap().len, 20);
    let small = opened(place.path(), "size = [14, 14]\nchannels = 3").unwrap();
    assert_eq!(small.shape, ImageShape::new(14, 14, 3));

    let message = failure(place.path(), "split = \"valid\"");
    assert!(message.ends_with("the files of the part valid are not in it"), "{message}");
    let alone = folder(&both[..1]);
    assert!(opened(alone.path(), "").unwrap().factors.is_none());
    let message = failure(alone.path(), "split = \"test\"");
    assert!(message.ends_with("the files of the part test are not in it"), "{message}");
    let mixed = folder(&[both[0], ("t10k-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte")]);
    let message = failure(mixed.path(), "");
    assert!(message.ends_with("expected 20 labels, one per image, found 6"), "{message}");
    let message = failure(&fixture("train-labels-idx1-ubyte.gz"), "");
    assert_eq!(message, "FOLDER/train-labels-idx1-ubyte.gz: it holds labels, expected images");
}

#[test]
fn small_norb_uses_the_first_image_of_each_pair() {
    let part = "smallnorb-5x46789x9x18x6x2x96x96-training";
    let other = "smallnorb-5x01235x9x18x6x2x96x96-testing";
    let stored = ImageShape::new(96, 96, 1);
    let names = ["category", "elevation", "azimuth", "lighting"];
    let check = |data: &mut ReadFile| {
        assert_eq!(pixels(data).unwrap()[..10 * 96 * 96], formula(0..10, stored));
        assert_eq!(sizes(data).iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        assert_eq!(values(data, 0)[..6], [0.0, 1.0, 2.0, 3.0, 4.0, 0.0]);
        assert_eq!(values(data, 1)[..10], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0]);
        assert_eq!(values(data, 2)[..4], [0.0, 14.0, 28.0, 6.0]);
        assert_eq!(values(data, 3)[..7], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0]);
    };
    let file = fixture(&format!("{part}-dat.mat.gz"));
    let mut data = opened(&file, "size = [96, 96]").unwrap();
    assert_eq!((data.len, data.shape), (10, stored));
    check(&mut data);
    assert_eq!(opened(&file, "").unwrap().shape, ImageShape::new(64, 64, 1));

    let names: Vec<(String, String)> = [part, other]
        .iter()
        .flat_map(|part| ["dat", "cat", "info"].map(|kind| format!("{part}-{kind}.mat")))
        .map(|name| (format!("{name}.gz"), name))
        .collect();
    let pairs: Vec<_> = names.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let place = folder(&pairs);
    let mut data = opened(place.path(), "size = [96, 96]").unwrap();
    assert_eq!(data.len, 15);
    check(&mut data);
    assert_eq!(opened(place.path(), "split = \"test\"").unwrap().len, 5);

    let message = failure(&fixture(&format!("{part}-info.mat.gz")), "");
    assert!(message.ends_with("it holds labels, expected images"), "{message}");
    fs::copy(fixture(&format!("{other}-cat.mat.gz")), place.path().join(format!("{part}-cat.mat")))
        .unwrap();
    let message = failure(&place.path().join(format!("{part}-dat.mat")), "");
    let expected = "expected labels of 10 images, axes [10], found [5]";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn hdf5_of_dsprites_and_shapes3d() {
    let name = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5";
    let mut data = opened(&fixture(name), "").unwrap();
    let shape = ImageShape::new(64, 64, 1);
    assert_eq!((data.len, data.shape, data.white), (96, shape, 1));
    let expected: Vec<u8> = formula(0..96, shape).iter().map(|byte| byte / 16 % 2).collect();
    assert_eq!(pixels(&mut data).unwrap(), expected);
    let grid =
        [("color", 1), ("shape", 3), ("scale", 2), ("orientation", 4), ("posX", 2), ("posY", 2)];
    assert_eq!(sizes(&data), grid);
    assert!(matches!(data.factors, Some(Factors::Grid(_))));
    assert_eq!(classes(&data, 95), [0, 2, 1, 3, 1, 1]);
    assert_eq!(values(&data, 3)[4], 2.0 * std::f64::consts::PI / 3.0);
    // Zeros and ones become intensities when they are mixed.
    let data = opened(&fixture(name), "size = [32, 32]").unwrap();
    assert_eq!((data.shape, data.white), (ImageShape::new(32, 32, 1), 255));

    let mut data = opened(&fixture("3dshapes.h5"), "").unwrap();
    let shape = ImageShape::new(64, 64, 3);
    assert_eq!((data.len, data.shape, data.white), (48, shape, 255));
    assert_eq!(pixels(&mut data).unwrap(), formula(0..48, shape));
    let names = ["floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"];
    let grid: Vec<_> = names.into_iter().zip([2, 1, 2, 2, 2, 3]).collect();
    assert_eq!(sizes(&data), grid);
    assert!(matches!(data.factors, Some(Factors::Grid(_))));
    assert_eq!(values(&data, 5)[..4], [-30.0, 0.0, 30.0, -30.0]);
}

#[test]
fn hdf5_in_all_forms() {
    let shape = ImageShape::new(6, 5, 3);
    for version in ["earliest", "latest"] {
        for form in ["contiguous", "shuffle", "plain-chunks"] {
            let mut data = opened(&fixture(&format!("{form}-{version}.h5")), "").unwrap();
            assert_eq!(pixels(&mut data).unwrap(), formula(0..7, shape), "{form}-{version}");
            assert_eq!(sizes(&data), [("factor_0", 5), ("factor_1", 5)]);
            assert_eq!(values(&data, 0), [1.0, 1.0, 2.0, 2.0, 9.0, 0.0, 5.0], "{form}-{version}");
            assert!(matches!(data.factors, Some(Factors::Table(_))));
        }
    }
    let path = fixture("userblock.h5");
    assert_eq!(
        pixels(&mut opened(&path, "key = \"images\"").unwrap()).unwrap(),
        formula(0..7, shape)
    );
    let message = failure(&path, "key = \"x\"");
    let expected = "FOLDER/userblock.h5: no dataset `x`: the file has `images` [7, 6, 5, 3] uint8";
    assert!(message.starts_with(expected), "{message}");
    let message = failure(&fixture("contiguous-latest.h5"), "key = \"labels\"");
    assert!(message.contains("dataset `labels`: expected images of uint8, found int"), "{message}");
    let turned = opened(&fixture("userblock.h5"), "layout = \"nchw\"").unwrap();
    assert_eq!(turned.shape, ImageShape::new(5, 3, 6));
    let message = failure(&fixture("userblock.h5"), "split = \"test\"");
    assert_eq!(message, "data.split does not apply to FOLDER/userblock.h5, an HDF5 file");
}

/// Halves an image of Cars3D as the reader should.
fn halved(bytes: Vec<u8>) -> Vec<u8> {
    let sum = |at: usize| {
        let (c, pixel) = (at % 3, at / 3);
        let first = (pixel / 64 * 2 * 128 + pixel % 64 * 2) * 3 + c;
        [0, 3, 128 * 3, 129 * 3].iter().map(|offset| f32::from(bytes[first + offset])).sum::<f32>()
    };
    (0..64 * 64 * 3).map(|at| (sum(at) / 4.0).round() as u8).collect()
}

#[test]
fn cars3d_is_sorted_by_object() {
    let path = fixture("nips2015-analogy-data.tar.gz");
    let stored = ImageShape::new(128, 128, 3);
    let mut data = opened(&path, "size = [128, 128]").unwrap();
    assert_eq!((data.len, data.shape), (18, stored));
    assert!(pixels(&mut data).unwrap() == formula(0..18, stored));
    assert_eq!(sizes(&data), [("object", 3), ("azimuth", 3), ("elevation", 2)]);
    assert!(matches!(data.factors, Some(Factors::Grid(_))));
    assert_eq!(classes(&data, 11), [1, 2, 1]);

    let mut data = opened(&path, "").unwrap();
    assert_eq!(data.shape, ImageShape::new(64, 64, 3));
    let small = pixels(&mut data).unwrap();
    assert!(small[7 * 64 * 64 * 3..][..64 * 64 * 3] == halved(formula([7], stored)));

    let place = tempfile::tempdir().unwrap();
    tar::Archive::new(GzDecoder::new(File::open(&path).unwrap())).unpack(place.path()).unwrap();
    for folder in ["", "data/cars"] {
        let mut data = opened(&place.path().join(folder), "").unwrap();
        assert!(pixels(&mut data).unwrap() == small);
    }
    let car = place.path().join("data/cars/car_002_mesh.mat");
    fs::write(&car, &fs::read(&car).unwrap()[..200]).unwrap();
    let message = failure(&place.path().join("data/cars"), "");
    assert!(message.ends_with("cars/car_002_mesh.mat: an element is cut off"), "{message}");
}

#[test]
fn matlab_files_with_and_without_compression() {
    let path = fixture("plain.mat");
    let content = fs::read(&path).unwrap();
    let array = matlab::read(&path, &content, "im").unwrap();
    assert_eq!(array.axes, [4, 4, 3, 3, 2]);
    // The image of azimuth 1, elevation 0 is the third.
    let expected = formula([2], ImageShape::new(4, 4, 3));
    assert_eq!(array.values[4 * 4 * 3], expected[0]);
    assert_eq!(array.values[4 * 4 * 3 + 1], expected[4 * 3]);
    let message = |name| matlab::read(&path, &content, name).unwrap_err().to_string();
    assert!(message("y").ends_with("no array is called `y`"));
    assert!(message("x").ends_with("array `x`: expected uint8, found MATLAB's class Some(6)"));
}

/// The centre of the coloured left half of a picture, and the white right one.
fn colours(pixels: &[u8], index: usize) -> [[u8; 3]; 2] {
    let image = &pixels[index * 64 * 64 * 3..][..64 * 64 * 3];
    [16, 48].map(|x| *image[(32 * 64 + x) * 3..].first_chunk().unwrap())
}

#[track_caller]
fn check_picture(pixels: &[u8], index: usize, i: usize, tolerance: u8) {
    let expected = [[20 * i + 10, 200 - 15 * i, 60], [255; 3]];
    for (found, expected) in colours(pixels, index).iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.abs_diff(expected as u8) <= tolerance, "{index}: {found} {expected}");
        }
    }
}

#[test]
fn celeba_with_attributes_and_parts() {
    let lists = ["list_attr_celeba.txt", "list_eval_partition.txt"];
    let archive = fixture("img_align_celeba.zip");
    let mut data = opened(&archive, "").unwrap();
    assert_eq!((data.len, data.shape), (7, ImageShape::new(64, 64, 3)));
    let found = pixels(&mut data).unwrap();
    (0..7).for_each(|i| check_picture(&found, i, i, 3));
    let names = ["5_o_Clock_Shadow", "Male", "Smiling", "Young"];
    assert_eq!(sizes(&data), names.map(|name| (name, if name == "Young" { 1 } else { 2 })));
    assert_eq!(values(&data, 0), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);

    for (part, expected) in [("train", 0..4), ("valid", 4..6), ("test", 6..7), ("all", 0..7)] {
        let mut data = opened(&archive, &format!("split = \"{part}\"")).unwrap();
        assert_eq!(data.len, expected.len());
        let found = pixels(&mut data).unwrap();
        expected.enumerate().for_each(|(index, i)| check_picture(&found, index, i, 3));
    }
    // The middle 140 columns of 178 are resized.
    assert_eq!(opened(&archive, "crop = [140, 140]\nchannels = 1").unwrap().shape.channels, 1);

    let place = folder(&[("img_align_celeba.zip", "img_align_celeba.zip")]);
    let data = opened(place.path(), "").unwrap();
    assert!(data.factors.is_none());
    let message = failure(place.path(), "split = \"test\"");
    assert!(message.contains("neither list_eval_partition.txt nor .csv lies beside"), "{message}");
    let inner = place.path().join("img_align_celeba");
    let mut zip = zip::ZipArchive::new(File::open(&archive).unwrap()).unwrap();
    zip.extract(place.path()).unwrap();
    for list in lists {
        fs::copy(fixture(list), place.path().join(list)).unwrap();
    }
    for path in [place.path(), &inner] {
        let mut data = opened(path, "split = \"valid\"").unwrap();
        check_picture(&pixels(&mut data).unwrap(), 1, 5, 3);
        assert_eq!(values(&data, 1), [0.0, 1.0]);
    }
    let list = place.path().join(lists[0]);
    let rows = fs::read_to_string(&list).unwrap();
    fs::write(&list, rows.replace("000003.jpg", "000033.jpg")).unwrap();
    // Attributes that are not those of the images leave the images as they are.
    assert!(opened(&inner, "").unwrap().factors.is_none());
    fs::write(&list, rows.replace("000003.jpg  1", "000003.jpg  x")).unwrap();
    assert!(opened(&inner, "").unwrap().factors.is_none());
    // As Kaggle has them.
    fs::remove_file(&list).unwrap();
    let header = "image_id,5_o_Clock_Shadow,Male,Smiling,Young\n";
    let kaggle: String = rows
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(",") + "\n")
        .collect();
    fs::write(list.with_extension("csv"), format!("{header}{kaggle}")).unwrap();
    let data = opened(&inner, "").unwrap();
    assert_eq!(sizes(&data), names.map(|name| (name, if name == "Young" { 1 } else { 2 })));
    assert_eq!(values(&data, 0), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn folders_like_celeba() {
    let place = tempfile::tempdir().unwrap();
    let inner = place.path().join("img_align_celeba");
    fs::create_dir(&inner).unwrap();
    let mut list = String::from("image_id,Smiling\n");
    for i in 0..4_u8 {
        let name = format!("{i}.png");
        image::RgbImage::from_pixel(8, 8, image::Rgb([i; 3])).save(inner.join(&name)).unwrap();
        list += &format!("{name},{}\n", i % 2);
    }
    // torchvision's attributes are 0 and 1 already.
    fs::write(place.path().join("list_attr_celeba.csv"), list).unwrap();
    let data = opened(place.path(), "").unwrap();
    assert_eq!((data.len, data.shape), (4, ImageShape::new(64, 64, 3)));
    assert_eq!((values(&data, 0), sizes(&data)), (vec![0.0, 1.0, 0.0, 1.0], vec![("Smiling", 2)]));
}

#[test]
fn chairs_say_in_their_names_what_they_are() {
    let path = fixture("rendered_chairs.tar");
    let mut data = opened(&path, "").unwrap();
    assert_eq!((data.len, data.shape), (12, ImageShape::new(64, 64, 3)));
    let found = pixels(&mut data).unwrap();
    (0..12).for_each(|i| check_picture(&found, i, i, 0));
    assert_eq!(sizes(&data), [("model", 2), ("elevation", 2), ("azimuth", 3)]);
    assert!(matches!(data.factors, Some(Factors::Grid(_))));
    assert_eq!(values(&data, 1)[2..4], [20.0, 30.0]);
    assert_eq!(values(&data, 2)[..3], [11.0, 23.0, 348.0]);

    let place = tempfile::tempdir().unwrap();
    tar::Archive::new(File::open(&path).unwrap()).unpack(place.path()).unwrap();
    for folder in ["", "rendered_chairs"] {
        let mut data = opened(&place.path().join(folder), "").unwrap();
        assert!(pixels(&mut data).unwrap() == found);
    }
    fs::copy(&path, place.path().join("nips2015-analogy-data.tar")).unwrap();
    let message = failure(&place.path().join("nips2015-analogy-data.tar"), "");
    assert!(message.ends_with("it has no files such as car_*_mesh.mat"), "{message}");
}

#[test]
fn mpi3d_is_known_by_name_and_number() {
    let shape = ImageShape::new(64, 64, 3);
    let sizes = |name, len| {
        let grid = known_grid(name, len, shape)?;
        assert_eq!(grid.len(), len);
        Some(grid.factors.iter().map(|factor| factor.values.len()).collect::<Vec<_>>())
    };
    assert_eq!(sizes("mpi3d_toy.npz", 1_036_800), Some(vec![6, 6, 2, 3, 3, 40, 40]));
    assert_eq!(sizes("MPI3D_real_complex.npz", 460_800), Some(vec![4, 4, 2, 3, 3, 40, 40]));
    assert_eq!(sizes("mpi3d_toy.npz", 1000), None);
    assert_eq!(sizes("mine.npz", 1_036_800), None);
    assert!(known_grid("mpi3d.npz", 460_800, ImageShape::new(64, 64, 1)).is_none());
}

#[test]
fn other_files_and_folders_are_left_to_other_readers() {
    let place = folder(&[("generate.py", "a.txt"), ("img_align_celeba.zip", "photos.zip")]);
    for name in ["a.txt", "photos.zip", "missing", ""] {
        assert_eq!(OfficialFormat::of(&place.path().join(name)).unwrap(), None);
    }
}
