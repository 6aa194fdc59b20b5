//! Models that come from other programs and go to them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{path, refuse, run, succeed, train_tiny};

fn weights(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../betavae/fixtures/weights").join(name)
}

/// Imports the committed Lightning checkpoint.
fn import(output: &str) -> String {
    let found = run(&["import", path(&weights("collection.ckpt")), "--output", output]);
    assert!(found.status.success());
    String::from_utf8(found.stderr).unwrap()
}

/// RGB images of 16x16 as an .npz file, written by the binary from a rendered set of another shape
/// through a folder of pictures.
fn pictures(folder: &Path) -> String {
    let pictures = folder.join("pictures");
    fs::create_dir(&pictures).unwrap();
    for i in 0..12_u8 {
        let color =
            |x: u32, y: u32| image::Rgb([20 * i, (x * 11) as u8, (y * 7 + u32::from(i)) as u8]);
        image::RgbImage::from_fn(40, 40, color).save(pictures.join(format!("{i:02}.png"))).unwrap();
    }
    path(&pictures).to_owned()
}

#[test]
fn an_imported_model_is_evaluated_drawn_explored_and_trained_further() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let said = import(&at("model.safetensors"));
    assert!(said.contains("pytorch-vae") && said.contains("16x16x3, 5 latents"), "{said}");
    assert!(said.contains("image_range=signed") && said.contains("beta = 4"), "{said}");
    let (model, images) = (at("model.safetensors"), pictures(scratch.path()));
    succeed(&["encode", &model, "--input", &images, "--output", &at("codes.csv")]);
    assert!(fs::read_to_string(at("codes.csv")).unwrap().contains("11.png"));
    succeed(&["encode", &model, "--input", &images, "--output", &at("codes.parquet")]);
    assert!(fs::read(at("codes.parquet")).unwrap().starts_with(b"PAR1"));
    succeed(&["evaluate", &model, "--data", &images]);
    succeed(&["traverse", &model, "--output", &at("t.png")]);
    succeed(&["explore", &model, "--data", &images, "--output", &at("page.html")]);

    // Without a recipe, the network is the model's own, and images are brought to its size.
    let tuned = at("tuned");
    let train = ["train", "--init", &model, "--data", &images, "--steps", "3", "--out", &tuned];
    succeed(&[&train[..], &["--set", "train.batch=4"]].concat());
    let config = fs::read_to_string(scratch.path().join("tuned/config.toml")).unwrap();
    assert!(config.contains("image_range = \"unit\"") && config.contains("init = "), "{config}");
    let provenance = fs::read_to_string(scratch.path().join("tuned/provenance.toml")).unwrap();
    assert!(provenance.contains("init_sha256 = "), "{provenance}");

    // The file is not needed any more once there is a checkpoint.
    fs::remove_file(&model).unwrap();
    succeed(&["resume", &tuned, "--steps", "5"]);
}

#[test]
fn a_run_starts_from_exactly_the_given_weights() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    train_tiny(&scratch.path().join("a"), 20, &[]);
    // A learning rate of almost nothing leaves the weights as they were.
    let still = ["--set", "optimizer.learning_rate=1e-30", "--set", "train.batch=8"];
    let train = ["train", "--init", &at("a"), "--data", "blobs", "--steps", "1", "--out", &at("b")];
    succeed(&[&train[..], &still].concat());
    for model in ["a", "b"] {
        let output = at(&format!("{model}.npy"));
        succeed(&["encode", &at(model), "--input", "blobs", "--output", &output]);
    }
    assert!(fs::read(at("a.npy")).unwrap() == fs::read(at("b.npy")).unwrap());
}

#[test]
fn weights_of_another_network_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    train_tiny(&scratch.path().join("a"), 1, &[]);
    let train = ["train", "--init", &at("a"), "--data", "blobs", "--out", &at("b")];
    let said = refuse(1, &[&train[..], &["--set", "model.latents=4"]].concat());
    assert!(said.contains("another network") && said.contains("4 latents"), "{said}");
    assert!(!scratch.path().join("b").exists());
    let said = refuse(1, &["train", "--init", &at("missing"), "--out", &at("b")]);
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn every_format_of_export_is_written_and_foreign_networks_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    import(&at("model.safetensors"));
    let model = at("model.safetensors");
    for name in ["again.safetensors", "model.onnx", "model.bvae", "model.pt"] {
        succeed(&["export", &model, "--output", &at(name)]);
        assert!(fs::metadata(at(name)).unwrap().len() > 10_000, "{name}");
    }
    // What went out comes in again, the same.
    succeed(&["import", &at("model.pt"), "--output", &at("back.safetensors")]);
    let said = refuse(2, &["export", &model, "--output", &at("model.keras")]);
    assert!(said.contains(".onnx"), "{said}");
    let said = refuse(
        1,
        &["export", &model, "--format", "disentangling-vae", "--output", &at("model.pth")],
    );
    assert!(said.contains("disentangling-vae has no such network"), "{said}");
    train_tiny(&scratch.path().join("run"), 1, &[]);
    let said = refuse(2, &["export", &at("run"), "--output", &at("model.pth")]);
    assert!(said.contains(".safetensors"), "{said}");
}

#[test]
fn pickles_with_commands_are_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("model.safetensors");
    for name in ["command.pt", "whole-command.pt"] {
        let said = refuse(1, &["import", path(&weights(name)), "--output", path(&output)]);
        assert!(said.contains("posix.system"), "{said}");
    }
    assert!(!output.exists() && !Path::new("executed").exists());
}

#[test]
fn files_that_are_no_models_are_named_with_the_way_to_one() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    import(&at("model.safetensors"));
    succeed(&["export", &at("model.safetensors"), "--output", &at("my model.onnx")]);
    succeed(&["export", &at("model.safetensors"), "--output", &at("my model.pt")]);
    succeed(&["export", &at("model.safetensors"), "--output", &at("model.bvae")]);
    fs::write(at("lfs"), "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
        .unwrap();
    for (name, words) in [
        ("my model.onnx", ["this is an ONNX model", "exported from"]),
        ("model.bvae", ["this is a betavae program", "exported from"]),
        (
            "my model.pt",
            ["this is a PyTorch checkpoint", "my model.pt' --output model.safetensors`"],
        ),
        ("lfs", ["Git LFS pointer", "git lfs pull"]),
    ] {
        for command in ["evaluate", "traverse"] {
            let said = refuse(1, &[command, &at(name)]);
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}

#[test]
fn the_place_that_cannot_be_written_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let model = at("model.safetensors");
    import(&model);
    let (folder, images) = (at("not there"), pictures(scratch.path()));
    for (command, name) in [
        (&["export", &model][..], "model.onnx"),
        (&["traverse", &model], "t.png"),
        (&["traverse", &model], "t.gif"),
        (&["sample", &model], "s.npz"),
        (&["encode", &model, "--input", &images], "codes.csv"),
    ] {
        let output = format!("{folder}/{name}");
        let said = refuse(1, &[command, &["--output", &output]].concat());
        assert!(said.contains(&format!("the folder `{folder}` does not exist")), "{said}");
        assert!(said.contains(&format!("`mkdir -p '{folder}'`")), "{said}");
        assert!(!said.contains(".tmp-"), "{said}");
    }
}

/// The guide shows the module that is tested against PyTorch.
#[test]
fn the_guide_shows_the_tested_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = fs::read_to_string(root.join("docs/export.md")).unwrap();
    let module = fs::read_to_string(root.join("golden/load_in_pytorch.py")).unwrap();
    assert!(guide.contains(module.trim()));
}
