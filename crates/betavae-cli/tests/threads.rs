//! A run ends with the same bytes, however many threads it has.

// The helpers for other networks are not needed here.
#[allow(dead_code)]
mod common;

use std::fs;

use common::{path, succeed};

/// Everything a run writes about its model; clock times and the number of threads are elsewhere, in
/// timing.csv and provenance.toml.
const RESULTS: [&str; 6] = [
    "metrics.csv",
    "evaluation.json",
    "checkpoints/step-000000004/model.safetensors",
    "checkpoints/step-000000004/optimizer.safetensors",
    "checkpoints/step-000000004/state.toml",
    "checkpoints/step-000000004/DONE",
];

/// Trains on 40 images of a data set, in batches that no number of threads divides.
fn compare(recipe: &str, data: &str, changes: &[&str]) {
    let scratch = tempfile::tempdir().unwrap();
    let images = scratch.path().join("images.npz");
    succeed(&["data", "export", data, "--indices", "0..40", "--output", path(&images)]);
    for precision in ["f32", "bf16"] {
        let results = |threads: &str| {
            let folder = scratch.path().join(format!("{precision}-{threads}"));
            let precision = format!("train.precision={precision}");
            let settings = ["train.batch=13", "train.log_every=2", "train.previews=false"];
            let mut arguments = vec!["train", recipe, "--out", path(&folder), "--steps", "4"];
            arguments.extend(["--data", path(&images), "--threads", threads]);
            let changes = changes.iter().copied().chain(settings).chain([&*precision]);
            changes.for_each(|change| arguments.extend(["--set", change]));
            succeed(&arguments);
            RESULTS.map(|name| fs::read(folder.join(name)).unwrap())
        };
        let one = results("1");
        let metrics = String::from_utf8_lossy(&one[0]);
        assert!(metrics.contains("\n4,total,"), "{metrics}");
        for threads in ["2", "3"] {
            for (name, (one, more)) in RESULTS.iter().zip(one.iter().zip(results(threads))) {
                let what = format!("{name} of {recipe} in {precision}");
                assert!(*one == more, "{what} differs between 1 and {threads} threads");
            }
        }
    }
}

#[test]
fn burgess_does_not_depend_on_the_number_of_threads() {
    compare("default", "dsprites", &[]);
}

#[test]
fn pytorch_vae_does_not_depend_on_the_number_of_threads() {
    // Size and crop are for folders of images.
    let changes = ["data.size=", "data.crop=", "data.channels="];
    compare("pytorch-vae-h", "dsprites-color", &changes);
}
