//! Which runs may be compared: those that are equal but for named settings.

use std::collections::BTreeMap;

use super::record::Record;
use crate::data;

/// Settings that have no influence on what is learned.
const WITHOUT_INFLUENCE: [&str; 6] = [
    "format",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.log_every",
    "train.previews",
    "train.tensorboard",
];

/// Settings of a section on which it depends which others there are.
const KINDS: [&str; 3] = ["kind", "architecture", "likelihood"];

/// Runs that are equal but for the settings that [`groups`] was told to leave free.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// At least one, in the order they came in.
    pub runs: Vec<&'a Record>,
    /// What they share in which groups differ, such as `model.latents 5`; the data where there is one group.
    pub label: String,
}

/// The runs in groups of such that are equal but for the settings `free`: keys such as `seed` or `objective.beta`, or
/// whole sections such as `objective`. Images are the same if their fingerprints are, wherever they lie.
pub fn groups<'a>(runs: &[&'a Record], free: &[&str]) -> Vec<Group<'a>> {
    let mut found: Vec<(BTreeMap<String, String>, Vec<&Record>)> = Vec::new();
    for run in runs {
        let settings = identity(run, free);
        match found.iter_mut().find(|(known, _)| *known == settings) {
            Some((_, runs)) => runs.push(run),
            None => found.push((settings, vec![run])),
        }
    }
    let all: Vec<&BTreeMap<String, String>> = found.iter().map(|(settings, _)| settings).collect();
    let labels: Vec<String> = found.iter().map(|(own, runs)| label(own, &all, runs[0])).collect();
    let groups = found.iter().zip(labels);
    groups.map(|((_, runs), label)| Group { runs: runs.clone(), label }).collect()
}

/// The settings that make runs different ones.
fn identity(run: &Record, free: &[&str]) -> BTreeMap<String, String> {
    let is_free = |key: &str| {
        let (section, _) = key.split_once('.').unwrap_or((key, ""));
        WITHOUT_INFLUENCE.contains(&key) || free.contains(&key) || free.contains(&section)
    };
    let settings = run.config.settings().into_iter();
    let mut settings: BTreeMap<_, _> = settings.filter(|(key, _)| !is_free(key)).collect();
    // Where the seed makes the images too, as the noise of some rendered sets, their fingerprint differs with it.
    if is_free("seed") && data::depends_on_seed(run.config.data()) {
        settings.remove("data.name");
        settings.insert("data".into(), data_name(run));
        return settings;
    }
    if let Some(sha256) = run.provenance.get("data_sha256").and_then(toml::Value::as_str) {
        // The order is a property of the training; all else about images is in their fingerprint.
        settings.retain(|key, _| !key.starts_with("data.") || key == "data.order");
        settings.insert(
            "data".into(),
            format!("{} {}", data_name(run), &sha256[..8.min(sha256.len())]),
        );
    }
    settings
}

/// What distinguishes a group from the others. That a group of another kind lacks a setting, such as `objective.gamma`, is
/// not said: the kind says it.
fn label(
    own: &BTreeMap<String, String>,
    all: &[&BTreeMap<String, String>],
    run: &Record,
) -> String {
    let keys = all.iter().flat_map(|settings| settings.keys());
    let mut keys: Vec<&String> = keys.collect();
    keys.sort();
    keys.dedup();
    let differ = |key: &&String| {
        // The shape of the images is that of the data.
        if *key == "model.image" && all.iter().any(|other| other.get("data") != own.get("data")) {
            return false;
        }
        let section = key.split_once('.').map_or("", |(section, _)| section);
        let of_other_kind = |settings: &BTreeMap<String, String>| {
            KINDS.iter().any(|kind| {
                let kind = format!("{section}.{kind}");
                settings.get(&kind) != own.get(&kind)
            })
        };
        let differs = |settings: &&BTreeMap<String, String>| {
            let (own_value, value) = (own.get(*key), settings.get(*key));
            let both = own_value.is_some() && value.is_some();
            own_value != value && (both || !of_other_kind(settings))
        };
        all.iter().any(differs)
    };
    let mut keys: Vec<&String> = keys.into_iter().filter(differ).collect();
    // The kind first, then what belongs to it.
    keys.sort_by_key(|key| {
        let (section, rest) = key.split_once('.').unwrap_or((key, ""));
        (section, rest != "kind", rest)
    });
    let words: Vec<String> = keys
        .into_iter()
        .map(|key| match own.get(key) {
            Some(value) => format!("{key} {value}"),
            None => format!("no {key}"),
        })
        .collect();
    if words.is_empty() { data_name(run) } else { words.join(", ") }
}

/// What the images of a run are called.
fn data_name(run: &Record) -> String {
    let known = run.provenance.get("data").and_then(toml::Value::as_str).map(str::to_owned);
    known.or_else(|| run.config.data().name.clone()).unwrap_or_else(|| "images".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(recipe: &str) -> Record {
        Record::sketch("a", recipe, "")
    }

    fn sizes(runs: &[Record], free: &[&str]) -> Vec<usize> {
        let runs: Vec<&Record> = runs.iter().collect();
        groups(&runs, free).iter().map(|group| group.runs.len()).collect()
    }

    #[test]
    fn only_runs_that_are_equal_but_for_what_is_free_are_pooled() {
        let seeds = [run("seed = 1"), run("seed = 2\ntrain.previews = false")];
        assert_eq!(sizes(&seeds, &["seed"]), [2]);
        assert_eq!(sizes(&seeds, &[]), [1, 1]);
        let networks =
            [run("model.architecture = 'burgess'"), run("model.architecture = 'higgins-fc'")];
        let folders = [run("data.path = '/a'"), run("data.path = '/b'")];
        let optimizers = [run("optimizer.kind = 'adam'"), run("optimizer.kind = 'adagrad'")];
        let steps = [run("train.steps = 10"), run("train.steps = 20")];
        let likelihoods =
            [run("model.likelihood = 'bernoulli'"), run("model.likelihood = 'gaussian'")];
        for unlike in [networks, folders, optimizers, steps, likelihoods] {
            assert_eq!(sizes(&unlike, &["seed", "objective"]), [1, 1], "{:?}", unlike[1].config);
        }
        let losses = [run("objective.beta = 4.0"), run("objective.kind = 'b'")];
        assert_eq!(sizes(&losses, &["seed", "objective.beta"]), [1, 1]);
        assert_eq!(sizes(&losses, &["seed", "objective"]), [2]);
    }

    #[test]
    fn images_are_the_same_wherever_they_lie() {
        let with = |path: &str, sha256: &str| {
            let provenance = format!("data = \"faces\"\ndata_sha256 = \"{sha256}\"");
            let provenance = provenance.parse().unwrap();
            Record { provenance, ..run(&format!("data.path = '{path}'")) }
        };
        let runs = [with("/a", "0123456789"), with("/b", "0123456789"), with("/a", "abcdefabcd")];
        assert_eq!(sizes(&runs, &[]), [2, 1]);
        let runs: Vec<&Record> = runs.iter().collect();
        let labels: Vec<String> = groups(&runs, &[]).into_iter().map(|group| group.label).collect();
        assert_eq!(labels, ["data faces 01234567", "data faces abcdefab"]);
        assert_eq!(groups(&runs[..2], &[])[0].label, "faces");
    }

    #[test]
    fn seeds_are_pooled_where_they_make_the_images_too() {
        let with = |seed: u64, sha256: &str| {
            let provenance = format!("data = \"dsprites-noisy\"\ndata_sha256 = \"{sha256}\"");
            let recipe = format!("seed = {seed}\ndata.name = 'dsprites-noisy'");
            Record { provenance: provenance.parse().unwrap(), ..run(&recipe) }
        };
        let runs = [with(1, "0123456789"), with(2, "abcdefabcd")];
        assert_eq!(sizes(&runs, &["seed"]), [2]);
        assert_eq!(sizes(&runs, &["train"]), [1, 1]);
        let other = run("data.name = 'dsprites-color'");
        let labels: Vec<String> =
            groups(&[&runs[0], &other], &["seed"]).into_iter().map(|group| group.label).collect();
        assert_eq!(labels, ["data dsprites-noisy", "data dsprites-color"]);
    }

    #[test]
    fn labels_say_what_distinguishes_a_group_and_no_more() {
        let runs = [
            run("objective = { kind = 'h', beta = 1.0 }"),
            run("objective = { kind = 'h', beta = 4.0 }"),
            run("objective = { kind = 'factor-vae', gamma = 10.0 }\nmodel.latents = 5"),
            run("objective.beta = 1.0\nmodel.likelihood = 'gaussian'"),
        ];
        let runs: Vec<&Record> = runs.iter().collect();
        let labels: Vec<String> =
            groups(&runs, &["seed"]).into_iter().map(|group| group.label).collect();
        let expected = [
            "model.latents 10, model.likelihood bernoulli, objective.kind h, objective.beta 1.0",
            "model.latents 10, model.likelihood bernoulli, objective.kind h, objective.beta 4.0",
            "model.latents 5, model.likelihood bernoulli, objective.kind factor-vae",
            "model.latents 10, model.likelihood gaussian, objective.kind h, objective.beta 1.0",
        ];
        assert_eq!(labels, expected);
    }
}
