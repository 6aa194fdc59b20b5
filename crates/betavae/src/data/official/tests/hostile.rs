//! Damaged fixtures of every format: an error that names the file, or images, but never a panic.
//!
//! The targets in `fuzz/` search further, with limits on memory.

use super::*;
use crate::random::Stream;

/// Damaged copies of each file.
const COPIES: usize = 100;

/// One to three blows: bits, bytes, sizes that became huge or zero; and sometimes an early end.
fn damage(original: &[u8], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + stream.below(3) {
        // Headers stand at the start, and tell more lies per byte.
        let within = if stream.below(2) == 0 { bytes.len().min(4096) } else { bytes.len() };
        let at = stream.below(within);
        let size = [1, 2, 4, 8][stream.below(4)].min(bytes.len() - at);
        match stream.below(4) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at..at + size].fill(0xff),
            2 => bytes[at..at + size].fill(0),
            _ => bytes[at..at + size].fill_with(|| stream.below(256) as u8),
        }
    }
    if stream.below(6) == 0 {
        bytes.truncate(stream.below(bytes.len()));
    }
    bytes
}

/// Reads at most 200 images, in small pieces.
fn read(path: &Path) -> Result<()> {
    if OfficialFormat::of(path)?.is_none() {
        return Ok(());
    }
    let mut opened = opened(path, "size = [8, 8]")?;
    let values = opened.shape.values();
    let Pixels::Unread(images) = &mut opened.pixels else { return Ok(()) };
    let mut bytes = vec![0; opened.len.min(200) * values];
    bytes.chunks_mut(7 * values).try_for_each(|piece| images.next(piece))
}

/// Damages `file` among `files`, and opens `path`; all relative to one folder.
#[track_caller]
fn attack(files: &[(&str, &str)], file: &str, path: &str) {
    let place = folder(files);
    let original = fs::read(place.path().join(file)).unwrap();
    let mut stream = Stream::new(7, file, 0);
    let mut errors = 0;
    for _ in 0..COPIES {
        fs::write(place.path().join(file), damage(&original, &mut stream)).unwrap();
        if let Err(error) = read(&place.path().join(path)) {
            let text = error.to_string();
            let folder = place.path().display().to_string();
            assert!(text.contains(&folder) || text.contains("factor"), "names no file: {text}");
            errors += 1;
        }
    }
    assert!(errors > COPIES / 20, "only {errors} errors: the damage is not seen");
}

#[test]
fn damaged_idx_and_norb() {
    let idx = [
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte"),
    ];
    attack(&idx, idx[0].1, "");
    attack(&idx, idx[1].1, "");
    let packed = [("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz")];
    attack(&packed, packed[0].1, packed[0].1);
    let part = "smallnorb-5x46789x9x18x6x2x96x96-training";
    let names = ["dat", "cat", "info"].map(|kind| format!("{part}-{kind}.mat"));
    let packed = names.each_ref().map(|name| format!("{name}.gz"));
    let norb = [0, 1, 2].map(|i| (packed[i].as_str(), names[i].as_str()));
    norb.iter().for_each(|(_, name)| attack(&norb, name, ""));
}

#[test]
fn damaged_hdf5() {
    for form in ["shuffle-earliest", "shuffle-latest", "plain-chunks-latest", "contiguous-earliest"]
    {
        let name = format!("{form}.h5");
        attack(&[(&name, &name)], &name, &name);
    }
    let name = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5";
    attack(&[(name, name)], name, name);
}

#[test]
fn damaged_matlab_and_cars() {
    attack(&[("plain.mat", "car_001_mesh.mat")], "car_001_mesh.mat", "");
    let cars = "nips2015-analogy-data.tar.gz";
    attack(&[(cars, cars)], cars, cars);
    attack(
        &[(cars, "nips2015-analogy-data.tar")],
        "nips2015-analogy-data.tar",
        "nips2015-analogy-data.tar",
    );
}

#[test]
fn damaged_chairs_and_celeba() {
    let chairs = "rendered_chairs.tar";
    attack(&[(chairs, chairs)], chairs, chairs);
    let celeba = ["img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"];
    let files = celeba.map(|name| (name, name));
    attack(&files, celeba[0], "");
    // Attributes that cannot be used leave the images as they are.
    let place = folder(&files);
    let list = place.path().join(celeba[1]);
    let (original, mut stream) = (fs::read(&list).unwrap(), Stream::new(7, celeba[1], 0));
    for _ in 0..COPIES {
        fs::write(&list, damage(&original, &mut stream)).unwrap();
        if let Ok(data) = opened(place.path(), "size = [8, 8]") {
            assert_eq!(data.len, 7);
        }
    }
}
