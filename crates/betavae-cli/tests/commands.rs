//! Every command of the real binary on a small trained model.

mod common;

use std::fs;
use std::path::Path;

use common::{path, refuse, run, succeed, train_tiny};
use image::AnimationDecoder;
use sha2::{Digest, Sha256};

#[test]
fn a_trained_model_goes_through_every_command() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let out = train_tiny(&folder, 30, &["--set", "train.log_every=10"]);
    assert_eq!(out.trim(), path(&folder), "stdout is the run folder");
    for name in ["config.toml", "provenance.toml", "metrics.csv", "timing.csv", "evaluation.json"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    let run_folder = path(&folder);
    let checkpoint = folder.join("checkpoints/step-000000030");
    let file = checkpoint.join("model.safetensors");
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();

    // The three forms of MODEL are one model.
    let codes = |model: &str, name: &str| {
        succeed(&["encode", model, "--input", "blobs", "--limit", "50", "--output", &at(name)]);
        fs::read(at(name)).unwrap()
    };
    let from_run = codes(run_folder, "a.npz");
    assert!(from_run == codes(path(&checkpoint), "b.npz"));
    assert!(from_run == codes(path(&file), "c.npz"));

    succeed(&["decode", run_folder, "--input", &at("a.npz"), "--output", &at("images.npz")]);
    succeed(&["decode", run_folder, "--input", &at("a.npz"), "--output", &at("images.png")]);
    succeed(&["reconstruct", run_folder]);
    succeed(&["sample", run_folder, "--count", "9", "--seed", "3"]);
    succeed(&["traverse", run_folder]);
    succeed(&["traverse", run_folder, "--output", &at("t.gif"), "--frames", "5"]);
    succeed(&[
        "traverse",
        run_folder,
        "--output",
        &at("t.npz"),
        "--input",
        "blobs",
        "--index",
        "7",
    ]);
    succeed(&["reconstruct", run_folder, "--output", &at("r.npz"), "--count", "3"]);
    for name in ["reconstructions.png", "samples.png", "traversal.png"] {
        assert!(image::open(folder.join("figures").join(name)).unwrap().width() > 64, "{name}");
    }
    let file = std::io::BufReader::new(fs::File::open(at("t.gif")).unwrap());
    let frames = image::codecs::gif::GifDecoder::new(file).unwrap().into_frames();
    let frames = frames.collect_frames().unwrap();
    assert_eq!(frames.len(), 8, "five values, there and back");
    assert!(frames.iter().all(|frame| frame.buffer().get_pixel(0, 0).0 == [255; 4]));
    let size = |name: &str| fs::metadata(at(name)).unwrap().len();
    assert!(size("t.gif") > 1000 && size("t.npz") > 1000 && size("images.npz") > 1000);

    // What was exported can be read as data, and gives the same codes.
    succeed(&["data", "export", "blobs", "--output", &at("blobs.npz")]);
    let json = succeed(&["evaluate", run_folder, "--limit", "64", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["images"], 64);
    let kl = value["at_mean"]["kl"].as_f64().unwrap();
    let each = value["at_mean"]["kl_per_latent"].as_array().unwrap();
    assert!((each.iter().map(|kl| kl.as_f64().unwrap()).sum::<f64>() - kl).abs() < 1e-9);
    for place in ["at_mean", "sampled"] {
        let term = |name: &str| value[place][name].as_f64().unwrap();
        assert!((term("elbo") + term("reconstruction") + term("kl")).abs() < 1e-9, "{place}");
    }
    let table = succeed(&["evaluate", run_folder, "--data", &at("blobs.npz"), "--limit", "64"]);
    assert!(table.contains("reconstruction") && table.contains("KL per latent"), "{table}");
}

#[test]
fn training_learns() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let changes = [
        "data.name=dsprites",
        "model.widths=[8,16,16,16]",
        "model.hidden=[64]",
        "objective.beta=1",
        "optimizer.learning_rate=2e-3",
        "train.batch=16",
        "train.log_every=100",
    ];
    let more: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
    train_tiny(&folder, 400, &more);
    let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let term = |step: u64, term: &str| -> f32 {
        let prefix = format!("{step},{term},");
        metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
    };
    let (first, last) = (term(100, "reconstruction"), term(400, "reconstruction"));
    assert!(last < 0.6 * first, "reconstruction {first} -> {last}");
    assert!(term(400, "kl") > 3.0, "nothing is encoded");
}

#[test]
fn a_diverging_run_stops_and_keeps_its_checkpoint() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    train_tiny(&folder, 10, &["--set", "train.checkpoint_every=5"]);
    let config = folder.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("learning_rate = 0.0005", "learning_rate = 1e30")).unwrap();
    let error = refuse(1, &["resume", path(&folder), "--steps", "50"]);
    assert!(error.contains("at step 12") && error.contains("hint: lower"), "{error}");
    succeed(&["evaluate", path(&folder), "--limit", "10"]);
    let step = folder.join("checkpoints/step-000000010/DONE");
    assert!(step.exists(), "the last good checkpoint is kept");
}

#[test]
fn training_in_an_emulated_precision_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let output = common::betavae()
        .args(["train", "--out", path(&scratch.path().join("run")), "--steps", "2"])
        .args(common::TINY)
        .args(["--set", "train.precision=bf16"])
        .env("BETAVAE_SIMD", "portable")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let warning =
        "warning: no AVX-512 BF16 instructions, only portable: precision bf16 is emulated";
    assert_eq!(told.matches(warning).count(), 1, "{told}");
}

#[test]
fn seeds_decide_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let model = |name: &str, seed: &str| {
        let folder = scratch.path().join(name);
        train_tiny(&folder, 5, &["--seed", seed]);
        fs::read(folder.join("checkpoints/step-000000005/model.safetensors")).unwrap()
    };
    assert!(model("a", "7") == model("b", "7"));
    assert!(model("c", "8") != model("d", "7"));
}

#[test]
fn dsprites_is_exported_with_the_published_keys() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("first.npz");
    succeed(&["data", "export", "dsprites", "--indices", "0..1000", "--output", path(&file)]);
    // The bits of the first thousand images, as two independent renderers have them.
    let data = betavae::data::open_name_or_path(path(&file), 1).unwrap();
    let indices: Vec<usize> = (0..1000).collect();
    let pixels = betavae::data::read_batch(&*data, &indices, 0).unwrap();
    let pack = |bits: &[f32]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | *bit as u8);
    let packed: Vec<u8> = pixels.chunks(8).map(pack).collect();
    let hash: String = Sha256::digest(packed).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "b8e0595b8b8af03c2b0b8470d5e628efac877e697cef3a2a828c967228a99a91");
    let info = succeed(&["data", "info", path(&file), "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["images"], 1000);
    assert_eq!(info["shape"], serde_json::json!([64, 64, 1]));
    let dsprites: serde_json::Value =
        serde_json::from_str(&succeed(&["data", "info", "dsprites", "--json"])).unwrap();
    assert_eq!(dsprites["images"], 737_280);
    let names = dsprites["factors"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap());
    let expected = ["color", "shape", "scale", "orientation", "posX", "posY"];
    assert!(names.eq(expected));
    assert!(
        refuse(1, &["data", "export", "blobs", "--indices", "0..5000", "--output", "x.npz"])
            .contains("at most 4096")
    );
}

#[test]
fn own_images_train_from_the_command_line() {
    let scratch = tempfile::tempdir().unwrap();
    let photos = scratch.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for i in 0..12_u32 {
        let pixel = |x: u32, y: u32| image::Rgb([(20 * i) as u8, (x * 4) as u8, (y * 5) as u8]);
        let picture = image::RgbImage::from_fn(64, 48, pixel);
        picture.save(photos.join(format!("{i:02}.png"))).unwrap();
    }
    for (name, network) in [
        ("a", vec!["--set", "model.architecture=pytorch-vae", "--set", "model.widths=[4,4,8,8,8]"]),
        ("b", vec!["--set", "model.architecture=custom"]),
    ] {
        let folder = scratch.path().join(name);
        let mut arguments = vec!["train", "--data", path(&photos), "--out", path(&folder)];
        // Fewer images than a batch of the recipe: the batch gives way.
        arguments.extend(["--steps", "2"]);
        arguments.extend(network);
        succeed(&arguments);
        succeed(&["reconstruct", path(&folder), "--input", path(&photos), "--count", "4"]);
        let (one, codes) = (photos.join("03.png"), scratch.path().join("one.npz"));
        succeed(&["encode", path(&folder), "--input", path(&one), "--output", path(&codes)]);
        let figure = image::open(folder.join("figures/reconstructions.png")).unwrap();
        assert!(figure.width() > 4 * 64 && figure.height() > 2 * 48);
    }
}

#[test]
fn factors_in_a_table_are_scored_described_and_exported() {
    let scratch = tempfile::tempdir().unwrap();
    let photos = scratch.path().join("photos");
    fs::create_dir(&photos).unwrap();
    let mut table = "file,side,level\n".to_owned();
    for i in 0..120_u32 {
        // Neither a grid nor in its order.
        let (side, level) = (i * 7 % 5 % 2, i * 11 % 3);
        let pixel =
            |x: u32, _| image::Luma([if x / 16 == side { 80 * level + 90 } else { 0 } as u8]);
        let name = format!("{i:03}.png");
        image::GrayImage::from_fn(32, 32, pixel).save(photos.join(&name)).unwrap();
        table += &format!("{name},{},{level}\n", ["left", "right"][side as usize]);
    }
    fs::write(photos.join("factors.csv"), table).unwrap();
    let info = succeed(&["data", "info", path(&photos), "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(
        info["factors"][0],
        serde_json::json!({
            "name": "side", "size": 2, "values": [0.0, 1.0], "words": ["left", "right"]
        })
    );
    assert_eq!(info["factors"][1]["values"], serde_json::json!([0.0, 1.0, 2.0]));

    let folder = scratch.path().join("run");
    let mut arguments = vec!["train", "--data", path(&photos), "--out", path(&folder)];
    arguments.extend(["--steps", "3", "--set", "model.architecture=custom"]);
    succeed(&arguments);
    let scores: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("scores.json")).unwrap()).unwrap();
    assert!(scores["mig"]["value"].as_f64().is_some(), "{scores}");
    let found = succeed(&["evaluate", path(&folder), "--scores", "mig", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert!(found["mig"]["value"].as_f64().is_some(), "{found}");

    // Exported and read again, it is the same data set.
    let file = scratch.path().join("photos.npz");
    succeed(&["data", "export", path(&photos), "--output", path(&file)]);
    let again = succeed(&["data", "info", path(&file), "--json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["factors"], &again["sha256"]), (&info["factors"], &info["sha256"]));

    // Codes of files say which file they are of.
    let codes = scratch.path().join("codes.npz");
    succeed(&["encode", path(&folder), "--input", path(&photos), "--output", path(&codes)]);
    let mut zip = zip::ZipArchive::new(fs::File::open(&codes).unwrap()).unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_name("files.npy").unwrap(), &mut text).unwrap();
    let last: String = "119.png".chars().flat_map(|letter| [letter, '\0', '\0', '\0']).collect();
    assert!(text.ends_with(last.as_bytes()));
}

#[test]
fn wrong_configurations_say_what_is_wrong() {
    let out = tempfile::tempdir().unwrap();
    let out = path(out.path());
    let train = |code, changes: &[&str]| {
        let mut arguments = vec!["train", "--out", out];
        changes.iter().for_each(|change| arguments.extend(["--set", change]));
        refuse(code, &arguments)
    };
    let kind = train(2, &["objective.kind=nonsense"]);
    assert!(kind.contains("nonsense") && kind.contains("`h`, `b`"), "{kind}");
    let section = train(2, &["modle.latents=3"]);
    assert!(section.contains("`modle`") && section.contains("did you mean `model`?"), "{section}");
    let network = train(2, &["model.architecture=pytorch-vae", "model.likelihood=bernoulli"]);
    assert!(network.contains("tanh") && network.contains("gaussian"), "{network}");
    let small = train(1, &["data.name=blobs", "train.batch=5000"]);
    assert!(small.contains("5000") && small.contains("4096"), "{small}");
    let recipe = refuse(2, &["train", "no-such-recipe"]);
    assert!(recipe.contains("betavae recipes"), "{recipe}");
    let device = refuse(2, &["train", "--device", "tpu"]);
    assert!(device.contains("`cpu`"), "{device}");
    // Nothing was written by any of them.
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    succeed(&[
        "data",
        "export",
        "dsprites",
        "--indices",
        "0..200",
        "--output",
        path(&at("ok.npz")),
    ]);
    let content = fs::read(at("ok.npz")).unwrap();
    fs::write(at("cut.npz"), &content[..content.len() / 2]).unwrap();
    let out = at("out");
    let cut = refuse(1, &["train", "--data", path(&at("cut.npz")), "--out", path(&out)]);
    assert!(cut.contains("cut.npz"), "{cut}");
    fs::create_dir(at("empty")).unwrap();
    let empty = refuse(1, &["train", "--data", path(&at("empty")), "--out", path(&out)]);
    assert!(empty.contains("empty"), "{empty}");
    assert!(!out.exists(), "nothing is written for data that cannot be read");

    fs::write(at("not.safetensors"), b"nonsense").unwrap();
    let model = refuse(1, &["traverse", path(&at("not.safetensors"))]);
    assert!(model.contains("not.safetensors"), "{model}");
    let missing = refuse(1, &["sample", path(&at("nowhere"))]);
    assert!(missing.contains("nowhere"), "{missing}");
    let folder = refuse(1, &["evaluate", path(&at("empty"))]);
    assert!(folder.contains("no checkpoint"), "{folder}");
}

#[test]
fn models_and_images_of_different_shapes_are_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    train_tiny(&folder, 2, &["--set", "data.name=dsprites-color"]);
    let out = scratch.path().join("codes.npz");
    let error = refuse(1, &["encode", path(&folder), "--input", "blobs", "--output", path(&out)]);
    assert!(error.contains("64x64x3") && error.contains("64x64x1"), "{error}");
    assert!(!out.exists());
    let format = refuse(2, &["sample", path(&folder), "--output", "x.bmp"]);
    assert!(format.contains(".png"), "{format}");
}

#[test]
fn stdout_is_data_and_may_be_closed_early() {
    let list = succeed(&["data", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert!(list.as_array().unwrap().len() >= 5);
    assert!(succeed(&["recipes"]).lines().count() >= 14);
    assert!(succeed(&["recipes", "default"]).contains("[objective]"));
    let mut child = common::betavae()
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn help_manual_and_completions_cover_every_command() {
    let help = succeed(&["--help"]);
    let commands = [
        "train",
        "resume",
        "encode",
        "decode",
        "reconstruct",
        "sample",
        "traverse",
        "evaluate",
        "data",
        "bench",
        "recipes",
        "completions",
        "man",
    ];
    let scratch = tempfile::tempdir().unwrap();
    succeed(&["man", path(scratch.path())]);
    for command in commands {
        assert!(help.contains(command), "{command}");
        let own = succeed(&[command, "--help"]);
        assert!(own.contains("Usage: betavae"), "{own}");
        assert!(command == "data" || own.contains("Example"), "{command} has no example");
        assert!(page(scratch.path(), command).exists(), "{command} has no manual page");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(succeed(&["completions", shell]).contains("traverse"));
    }
    assert_eq!(run(&["nonsense"]).status.code(), Some(2));
}

fn page(folder: &Path, command: &str) -> std::path::PathBuf {
    folder.join(format!("betavae-{command}.1"))
}
