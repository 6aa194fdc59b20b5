use super::*;
use crate::data::ImageShape;
use crate::error::Result;
use crate::model::ImageRange;
use crate::model::Likelihood;
use crate::objective::{LossB, LossH, ObjectiveKind, Reduction};
use crate::optimizer::{Adagrad, UpdateRule};

fn recipe(text: &str, changes: &[&str]) -> Result<Config> {
    let changes: Vec<_> = changes.iter().map(|c| (*c).to_owned()).collect();
    Recipe::with_changes(text, &changes)?.0.resolve(ImageShape::new(64, 64, 1))
}

fn refused(changes: &[&str]) -> (String, String) {
    let error = recipe("", changes).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn an_empty_recipe_is_the_default_and_resolves_completely() {
    let config = recipe("", &[]).unwrap();
    assert_eq!(config.image(), ImageShape::new(64, 64, 1));
    assert_eq!(config.objective.kind, ObjectiveKind::H(LossH { beta: 4.0.into() }));
    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
}

#[test]
fn changes_are_toml_or_words() {
    let config = recipe(
        "",
        &[
            "model.architecture=custom",
            "model.widths=[8, 16]",
            "objective.kind=\"b\"",
            "objective.c_max = 12.5",
            "seed=7",
        ],
    )
    .unwrap();
    assert_eq!((config.seed, &config.model.table().widths), (7, &Some(vec![8, 16])));
    let expected = LossB { c_max: 12.5, ..LossB::default() };
    assert_eq!(config.objective.kind, ObjectiveKind::B(expected));
}

#[test]
fn an_empty_value_removes_a_key() {
    let config = recipe("[data]\nname = \"dsprites\"", &["data.name="]).unwrap();
    assert_eq!(config.data.name, None);
}

#[test]
fn unknown_keys_name_the_nearest_one() {
    let (message, hint) = refused(&["modle.latents=3"]);
    assert!(message.contains("`modle`"), "{message}");
    assert_eq!(hint, "did you mean `model`?");
    let (message, hint) = refused(&["model.latent=3"]);
    assert!(message.contains("`latent`"), "{message}");
    assert_eq!(hint, "did you mean `latents`?");
}

#[test]
fn unknown_kinds_list_the_valid_ones() {
    let (message, _) = refused(&["objective.kind=nonsense"]);
    assert!(message.contains("nonsense") && message.contains("`h`"), "{message}");
    let (message, _) = refused(&["model.likelihood=poisson"]);
    assert!(message.contains("`bernoulli`") && message.contains("`gaussian`"), "{message}");
    let (message, _) = refused(&["model.architecture=resnet"]);
    assert!(message.contains("`burgess`") && message.contains("`pytorch-vae`"), "{message}");
}

#[test]
fn keys_of_the_other_kind_are_refused_when_asked_for_and_dropped_when_inherited() {
    let (message, hint) = refused(&["objective.gamma=10"]);
    assert!(message.contains("objective.gamma") && hint.contains("beta"), "{message} {hint}");
    let text = "[objective]\nbeta = 4.0";
    let (recipe_b, dropped) = Recipe::with_changes(text, &["objective.kind=b".to_owned()]).unwrap();
    assert_eq!(recipe_b.objective.kind.name(), "b");
    assert_eq!(dropped, ["objective.beta"]);
    assert!(recipe(text, &["objective.kind=b", "objective.beta=2"]).is_err());
    // A key of the same name means something else for another kind.
    let text = "objective = { kind = 'b', gamma = 1000.0, c_max = 20.0 }\noptimizer.epsilon = 1e-3";
    let changes = ["objective.kind=factor-vae", "optimizer.kind=adagrad"].map(str::to_owned);
    let (other, dropped) = Recipe::with_changes(text, &changes).unwrap();
    assert_eq!(other.objective, ObjectiveKind::FactorVae(Default::default()).into());
    assert_eq!(other.optimizer.rule, UpdateRule::Adagrad(Adagrad::default()));
    assert_eq!(dropped, ["objective.gamma", "objective.c_max", "optimizer.epsilon"]);
    // The kind that it is already changes nothing, and what a change sets stays.
    let same = recipe(text, &["objective.kind=b"]).unwrap();
    assert_eq!(same.objective.kind.label(), "C 20");
    let set = recipe(text, &["objective.kind=factor-vae", "objective.gamma=6"]).unwrap();
    assert_eq!(set.objective.kind.label(), "\u{3b3} 6");
    // A whole section is as it was given.
    let whole = "objective={kind='factor-vae',gamma=6}".to_owned();
    let (whole, dropped) = Recipe::with_changes(text, &[whole]).unwrap();
    assert_eq!(whole.objective.kind.label(), "\u{3b3} 6");
    assert!(dropped.is_empty(), "{dropped:?}");
}

#[test]
fn impossible_values_are_named() {
    for (change, key) in [
        ("train.batch=0", "train.batch"),
        ("objective.beta=-1", "objective.beta"),
        ("objective.beta=nan", "objective.beta"),
        ("model.latents=0", "model.latents"),
        ("model.kernel=3", "model.kernel"),
        ("model.sigma=0.5", "model.sigma"),
        ("objective.kl_weight=0.5", "objective.kl_weight"),
    ] {
        let (message, _) = refused(&[change]);
        assert!(message.contains(key), "{change}: {message}");
    }
    assert!(refused(&["nothing"]).0.contains("section.key=value"));
}

#[test]
fn a_tanh_network_takes_the_gaussian_by_itself_and_refuses_bernoulli() {
    let config = recipe("", &["model.architecture=pytorch-vae"]).unwrap();
    assert_eq!(config.likelihood(), Likelihood::Gaussian { sigma: 1.0 });
    assert_eq!(config.model.table().image_range, Some(ImageRange::Signed));
    let (message, hint) =
        refused(&["model.architecture=pytorch-vae", "model.likelihood=bernoulli"]);
    assert!(message.contains("tanh") && hint.contains("model.likelihood"), "{message} {hint}");
}

#[test]
fn every_value_is_written() {
    let config = recipe("model.architecture = 'custom'", &["optimizer.kind=adagrad"]).unwrap();
    let text = config.to_toml();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["format = 2", "seed = 1"], "{text}");
    for line in [
        "widths = [32, 32, 64, 64]",
        "likelihood = \"bernoulli\"",
        "beta = 4.0",
        "reduction = \"sum\"",
    ] {
        assert!(lines.contains(&line), "{line} in\n{text}");
    }
    assert!(lines.iter().any(|line| line.starts_with("epsilon = ")), "{text}");
    assert_eq!(Config::from_toml(&text).unwrap(), config);
    assert!(config.settings().contains(&("model.kernel".into(), "4".into())));
}

#[test]
fn files_of_the_first_format_are_read() {
    let text = "seed = 3
        [model]\narchitecture = 'burgess'\nlatents = 10\nimage = [32, 32, 1]
        [objective]\nkind = 'b'\ngamma = 50.0\nlikelihood = 'gaussian'\nsigma = 0.5\nreduction = 'mean'
        [optimizer]\nkind = 'adagrad'\nlearning_rate = 0.01\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 1e-9";
    let config = Config::from_toml(text).unwrap();
    assert_eq!(config.likelihood(), Likelihood::Gaussian { sigma: 0.5 });
    assert_eq!(
        config.objective.kind,
        ObjectiveKind::B(LossB { gamma: 50.0.into(), ..LossB::default() })
    );
    assert_eq!(config.objective.reduction, Reduction::Mean { kl_weight: 0.00025 });
    assert_eq!(config.optimizer.rule, UpdateRule::Adagrad(Adagrad { epsilon: 1e-9 }));
    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
    let warmed = recipe("objective = { beta = 2.0, warmup_steps = 10 }", &[]).unwrap();
    let ObjectiveKind::H(loss) = &warmed.objective.kind else { panic!("{warmed:?}") };
    assert_eq!([1, 5, 10, 11].map(|step| loss.beta.at(step)), [0.2, 1.0, 2.0, 2.0]);
    assert_eq!(Config::from_toml(&warmed.to_toml()).unwrap(), warmed);
    for wrong in ["warmup_steps = -1", "warmup_steps = 'ten'", "kind = 'b'\nwarmup_steps = 0"] {
        let message = recipe(&format!("[objective]\n{wrong}"), &[]).unwrap_err().to_string();
        assert!(message.contains("warmup_steps"), "{wrong}: {message}");
    }
    let (message, hint) = refused(&["objective.warmup_steps=10"]);
    assert!(
        message.contains("`objective.beta`") && hint.contains("steps = 10"),
        "{message} {hint}"
    );
    // In a change, the new name is asked for.
    let (message, hint) = refused(&["objective.likelihood=gaussian"]);
    assert!(message.contains("`model.likelihood`"), "{message}");
    assert_eq!(hint, "did you mean `model.likelihood=gaussian`?");
    let both = "objective.sigma = 1.0\nmodel = { sigma = 1.0 }";
    assert!(recipe(both, &[]).unwrap_err().to_string().contains("in [objective] and in [model]"));
    let newer = recipe("format = 3", &[]).unwrap_err();
    assert!(newer.hint().unwrap().contains("newer version"));
}
