//! Checkpoints of PyTorch programs against what PyTorch makes of them, written files, and damaged copies.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::*;
use crate::TensorData;
use crate::data::ImageShape;
use crate::files::write_atomically;
use crate::model::safetensors::{read_safetensors, to_safetensors};
use crate::model::{Architecture, BetaVae, ImageRange, ModelConfig, NamedTensor, values};
use crate::objective::{LossB, LossH, ObjectiveKind};
use crate::random::Stream;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/weights").join(name)
}

/// A fixture that is committed compressed, as a file called model.pt.
fn unpacked(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let compressed = fs::File::open(fixture(name)).unwrap();
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut content).unwrap();
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn imported(path: &Path) -> Imported {
    import(path, &ImportOptions::default(), &Device::flex()).unwrap()
}

fn refused(path: &Path) -> String {
    let error = import(path, &ImportOptions::default(), &Device::flex()).unwrap_err();
    format!("{error} ({})", error.hint().unwrap_or_default())
}

/// The largest difference from what PyTorch made of the same images, in codes and in images.
fn check(model: &BetaVae, name: &str) {
    let tensors = read_safetensors(&fixture(&format!("{name}.safetensors"))).unwrap();
    let tensor = |name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap().clone();
    let images = tensor("images");
    let shape: [usize; 4] = images.shape.clone().try_into().unwrap();
    let images = crate::Tensor::from_data(TensorData::new(images.values, shape), &model.device());
    let posterior = model.encode(images);
    let output = values(model.decode(posterior.mean.clone()));
    let found = [values(posterior.mean), values(posterior.log_var), output];
    for (found, name) in found.iter().zip(["mean", "log_var", "output"]) {
        let clamp = name == "output";
        let expected = tensor(name).values;
        assert_eq!(found.len(), expected.len());
        let differences = found.iter().zip(&expected).map(|(found, expected)| {
            let expected = if clamp { expected.clamp(0.0, 1.0) } else { *expected };
            (found - expected).abs()
        });
        let worst = differences.fold(0.0, f32::max);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

#[test]
fn a_legacy_file_of_disentangling_vae_gives_what_pytorch_gives() {
    let (_folder, path) = unpacked("disentangling-64.pt.gz");
    let found = imported(&path);
    let model = &found.trained.model;
    assert_eq!(found.layout, PeerLayout::DisentanglingVae);
    assert_eq!((model.network().image, model.latents()), (ImageShape::new(64, 64, 3), 10));
    assert_eq!(model.parameter_count(), 504_055);
    assert_eq!(found.assumptions.len(), 2, "{:?}", found.assumptions);
    check(model, "disentangling-64");
}

#[test]
fn a_zip_file_of_half_precision_and_its_specs_are_read() {
    let (folder, path) = unpacked("disentangling-32.pt.gz");
    let specs = r#"{"loss": "betaB", "betaB_initC": 0.0, "betaB_finC": 25.0, "betaB_G": 100.0,
        "reg_anneal": 1e5, "rec_dist": "bernoulli", "dataset": "dsprites", "img_size": [1, 32, 32]}"#;
    fs::write(folder.path().join("specs.json"), specs).unwrap();
    let found = imported(&path);
    check(&found.trained.model, "disentangling-32");
    assert_eq!(found.assumptions, Vec::<String>::new());
    let config = &found.config;
    assert_eq!(config.data().name.as_deref(), Some("dsprites"));
    let expected = LossB { gamma: 100.0.into(), ..LossB::default() };
    assert_eq!(config.objective().kind, ObjectiveKind::B(expected));

    fs::write(folder.path().join("specs.json"), "{").unwrap();
    assert!(refused(&path).contains("specs.json: not valid JSON"));
}

#[test]
fn a_lightning_checkpoint_and_state_dicts_of_the_collection_give_what_pytorch_gives() {
    for name in ["collection.ckpt", "collection-legacy.pth", "collection-views.pth"] {
        let found = imported(&fixture(name));
        let model = &found.trained.model;
        assert_eq!(found.layout, PeerLayout::PytorchVae);
        assert_eq!((model.network().image, model.latents()), (ImageShape::new(16, 16, 3), 5));
        check(model, "collection");
    }
}

#[test]
fn changes_say_what_a_file_cannot() {
    let changes = vec!["objective.beta=10".to_owned(), "model.image_range=signed".to_owned()];
    let options = ImportOptions { changes, ..ImportOptions::default() };
    let found = import(&fixture("collection.ckpt"), &options, &Device::flex()).unwrap();
    let expected = LossH { beta: 10.0.into() };
    assert_eq!(found.config.objective().kind, ObjectiveKind::H(expected));
    assert_eq!(found.trained.model.network().image_range, ImageRange::Signed);
}

#[test]
fn what_was_imported_is_a_model_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let found = imported(&fixture("collection.ckpt"));
    let bytes = crate::checkpoint::model_bytes(&found.trained.model, &found.trained.description);
    write_atomically(&path, &bytes.unwrap()).unwrap();
    let again = Trained::load(&path, &Device::flex()).unwrap();
    check(&again.model, "collection");
    let program = again.model.to_program();
    let pixels = Stream::new(1, "pixels", 0).normals(16 * 16 * 3);
    let images = TensorData::new(pixels.clone(), [1, 16, 16, 3]);
    let posterior = again.model.encode(crate::Tensor::from_data(images, &Device::flex()));
    let mean = values(posterior.mean.clone());
    let codes = program.encode(&pixels);
    assert!(mean.iter().zip(&codes).all(|(a, b)| (a - b).abs() < 1e-4));
    let images = values(again.model.decode(posterior.mean));
    let pixels = program.decode(&mean);
    assert!(images.iter().zip(&pixels).all(|(a, b)| (a - b).abs() < 1e-5));
}

/// A model that was not trained.
fn fresh(model: ModelConfig, image: ImageShape) -> Trained {
    let config = Recipe { model, ..Recipe::default() }.resolve(image).unwrap();
    let model = config.model().build(3, &Device::flex()).unwrap();
    Trained { model, description: Description::new(&config, 9, Vec::new()), path: PathBuf::new() }
}

#[test]
fn state_dicts_come_back_as_they_went_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let preset = |architecture| ModelConfig { architecture, ..ModelConfig::default() };
    let widths = Some(vec![4, 6]);
    let unit = Some(ImageRange::Unit);
    let narrow = ModelConfig { widths, image_range: unit, ..preset(Architecture::PytorchVae) };
    for (config, image, layout) in [
        (preset(Architecture::Burgess), [64, 64, 1], PeerLayout::DisentanglingVae),
        (preset(Architecture::Burgess), [32, 32, 3], PeerLayout::DisentanglingVae),
        (narrow, [8, 8, 3], PeerLayout::PytorchVae),
    ] {
        let trained = fresh(config, image.into());
        fs::write(&path, state_dict(&trained, layout).unwrap()).unwrap();
        let again = imported(&path);
        assert_eq!(again.layout, layout);
        assert_eq!(again.trained.model.network(), trained.model.network());
        let sorted = |model: &BetaVae| {
            let mut tensors = model.to_named_tensors();
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            tensors
        };
        assert_eq!(sorted(&again.trained.model), sorted(&trained.model));
    }
}

#[test]
fn networks_that_a_peer_does_not_have_are_refused() {
    let trained = fresh(ModelConfig::default(), [64, 48, 1].into());
    for layout in PeerLayout::ALL {
        let error = state_dict(&trained, layout).unwrap_err();
        assert!(error.to_string().contains(layout.name()), "{error}");
    }
}

#[test]
fn commands_in_a_pickle_are_named_and_not_executed() {
    for name in ["command.pt", "whole-command.pt"] {
        let message = refused(&fixture(name));
        assert!(message.contains("posix.system"), "{name}: {message}");
    }
    assert!(!Path::new("executed").exists());
}

#[test]
fn files_that_claim_more_than_they_have_are_refused() {
    let message = refused(&fixture("expanded.pt"));
    assert!(message.contains("bytes"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path()).contains("folder"));
    let path = folder.path().join("model.pt");
    assert!(refused(&path).contains("cannot read"));
    for content in [&b""[..], b"PK\x03\x04", b"hello", &[0x80, 2, b'.']] {
        fs::write(&path, content).unwrap();
        assert!(refused(&path).contains("model.pt"));
    }
}

#[test]
fn a_diverged_model_and_another_network_are_refused() {
    let (folder, _) = unpacked("disentangling-32.pt.gz");
    let found = imported(&fixture("collection.ckpt"));
    let path = folder.path().join("nan.pth");
    let network = found.trained.model.network().clone();
    let mut tensors = found.trained.model.to_named_tensors();
    tensors[0].values[3] = f32::NAN;
    let model = found.trained.model.clone().with_named_tensors(tensors).unwrap();
    let trained = Trained { model, ..found.trained };
    fs::write(&path, state_dict(&trained, PeerLayout::PytorchVae).unwrap()).unwrap();
    assert!(refused(&path).contains("not numbers"));
    assert_eq!(network.latents, 5);
    let layout = Some(PeerLayout::DisentanglingVae);
    let options = ImportOptions { layout, ..ImportOptions::default() };
    let error = import(&fixture("collection.ckpt"), &options, &Device::flex()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("encoder.mu_logvar_gen.weight"), "{message}");
}

/// The tensors of the collection's fixture under PyTorch-VAE's names.
fn collection() -> Vec<NamedTensor> {
    let trained = imported(&fixture("collection.ckpt")).trained;
    let network = trained.model.network();
    PeerLayout::PytorchVae.to_theirs(trained.model.to_named_tensors(), network).unwrap()
}

/// The tensors under other names.
fn renamed(tensors: &[NamedTensor], name: impl Fn(&str) -> String) -> Vec<NamedTensor> {
    tensors
        .iter()
        .map(|tensor| NamedTensor { name: name(&tensor.name), ..tensor.clone() })
        .collect()
}

/// A state dict as `torch.save` writes it, with a counter beside each running average.
fn saved(folder: &Path, tensors: &[NamedTensor]) -> PathBuf {
    let path = folder.join("last.ckpt");
    let counters: Vec<String> = tensors
        .iter()
        .filter_map(|tensor| tensor.name.strip_suffix("running_mean"))
        .map(|layer| format!("{layer}num_batches_tracked"))
        .collect();
    fs::write(&path, write::state_dict(tensors, &counters, 7).unwrap()).unwrap();
    path
}

#[test]
fn wrappers_may_stand_anywhere_in_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = collection();
    let names: [fn(&str) -> String; 5] = [
        |name| format!("ema.{name}"),
        |name| format!("state_dict.model._orig_mod.{name}"),
        |name| format!("module.{name}"),
        // Encoder and decoder were compiled by themselves.
        |name| match name.split_once('.') {
            Some((part @ ("encoder" | "decoder"), rest)) => format!("{part}._orig_mod.{rest}"),
            _ => name.to_owned(),
        },
        |name| match name.split_once('.') {
            Some((part, rest)) => format!("vae.{part}.model.module.{rest}"),
            None => name.to_owned(),
        },
    ];
    for name in names {
        let path = saved(folder.path(), &renamed(&tensors, name));
        check(&imported(&path).trained.model, "collection");
    }
}

#[test]
fn two_copies_are_chosen_from_by_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = collection();
    let raw: Vec<NamedTensor> = tensors
        .iter()
        .map(|tensor| NamedTensor {
            values: tensor.values.iter().map(|x| x + 1.0).collect(),
            ..tensor.clone()
        })
        .collect();
    let mut both = renamed(&raw, |name| format!("state_dict.model.{name}"));
    both.extend(renamed(&tensors, |name| format!("state_dict.ema_model.module.{name}")));
    both.push(NamedTensor {
        name: "state_dict.ema_model.decay".into(),
        shape: vec![],
        values: vec![0.9],
    });
    let path = saved(folder.path(), &both);
    let said = refused(&path);
    for words in [
        "the network is there twice: below `state_dict.ema_model.module.` and `state_dict.model.`",
        "`--prefix state_dict.ema_model.module.` or `--prefix state_dict.model.`",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let chosen = |prefix: &str| {
        let prefix = Some(prefix.to_owned());
        let options = ImportOptions { prefix, ..ImportOptions::default() };
        import(&path, &options, &Device::flex())
    };
    for prefix in ["state_dict.ema_model.module.", "state_dict.ema_model.module", "ema_model."] {
        check(&chosen(prefix).unwrap().trained.model, "collection");
    }
    let bias = |model: &BetaVae| values(model.encoder.mean.bias.val())[0];
    let model = chosen("state_dict.model").unwrap().trained.model;
    let averaged = chosen("ema_model").unwrap().trained.model;
    assert!((bias(&model) - bias(&averaged) - 1.0).abs() < 1e-6);
    let said = chosen("averaged.").unwrap_err().to_string();
    assert!(said.contains("no network below `averaged.`"), "{said}");
    assert!(chosen("state_dict").unwrap_err().to_string().contains("may mean several"));

    // A copy at the top beside another; counters of the average are no part of the network.
    let mut both = renamed(&tensors, str::to_owned);
    both.extend(renamed(&raw, |name| format!("ema.{name}")));
    both.push(NamedTensor { name: "ema.decay".into(), shape: vec![], values: vec![0.9] });
    let path = saved(folder.path(), &both);
    assert!(refused(&path).contains("below the top and `ema.`"));
    let options = ImportOptions { prefix: Some(String::new()), ..ImportOptions::default() };
    check(&import(&path, &options, &Device::flex()).unwrap().trained.model, "collection");

    // The same weights twice, as beside a compiled copy, leave nothing to choose.
    let mut both = renamed(&tensors, |name| format!("model.{name}"));
    both.extend(renamed(&tensors, |name| format!("compiled._orig_mod.{name}")));
    check(&imported(&saved(folder.path(), &both)).trained.model, "collection");
}

#[test]
fn safetensors_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let bytes: Vec<Vec<u8>> = collection()
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let tensors = collection();
    let count = 7_i64.to_le_bytes();
    use safetensors::{Dtype, tensor::TensorView};
    let mut views: Vec<(String, TensorView<'_>)> = Vec::new();
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap();
        views.push((format!("vae.{}", tensor.name), view));
        if let Some(layer) = tensor.name.strip_suffix("running_mean") {
            let view = TensorView::new(Dtype::I64, vec![], &count).unwrap();
            views.push((format!("vae.{layer}num_batches_tracked"), view));
        }
    }
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    check(&imported(&path).trained.model, "collection");
    let said = Trained::load(&path, &Device::flex()).unwrap_err();
    assert!(said.hint().unwrap().contains("betavae import"), "{said}");
    // One of ours is told from those.
    fs::write(&path, to_safetensors(&tensors, "x").unwrap()).unwrap();
    assert!(refused(&path).contains("a model of betavae already"));
}

#[test]
fn files_that_are_no_checkpoints_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    for (content, words) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"[..], "git lfs pull"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"", "an empty file"),
    ] {
        fs::write(&path, content).unwrap();
        let said = refused(&path);
        assert!(said.contains(words), "{said}");
    }
}

/// Thousands of damaged copies: an error or a model, never a panic, never much memory.
#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let (mut errors, mut models) = (0, 0);
    for (which, name) in
        ["collection.ckpt", "collection-legacy.pth", "command.pt"].iter().enumerate()
    {
        let content = fs::read(fixture(name)).unwrap();
        for round in 0..1000 {
            let mut stream = Stream::new(which as u64, "damage", round);
            let mut copy = content.clone();
            let draws = stream.normals(8);
            let at = |i: usize, length: usize| (draws[i].abs() * 1e6) as usize % length;
            // Most of the structure is in the pickle, early in the zip and everywhere in the legacy file.
            let early = copy.len().min(6000);
            match round % 4 {
                0 => copy.truncate(at(0, content.len())),
                1 => copy[at(0, early)] = at(1, 256) as u8,
                2 => (0..4).for_each(|i| copy[at(i, content.len())] ^= 1 << at(i + 4, 8)),
                _ => {
                    let (from, to, length) = (at(0, early), at(1, early), 1 + at(2, 64));
                    let piece: Vec<u8> = copy.iter().skip(from).take(length).copied().collect();
                    copy.splice(to..to, piece);
                }
            }
            fs::write(&path, copy).unwrap();
            match import(&path, &ImportOptions::default(), &Device::flex()) {
                Ok(_) => models += 1,
                Err(_) => errors += 1,
            }
        }
    }
    // Bytes of weights may change without anybody noticing.
    assert!(errors > 1000 && models > 100, "{errors} errors, {models} models");
}
