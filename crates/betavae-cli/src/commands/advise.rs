//! `advise`.

use std::path::Path;

use betavae::Device;
use betavae::config::Recipe;
use betavae::studies::{self, Advice, Tracking};
use betavae::words::{quoted, thousands};

use super::open;
use super::train::{data_changes, recipe_text};
use crate::args::Advise;
use crate::output::{print, print_json, say};
use crate::progress::StudyProgress;
use crate::signals;

pub fn advise(args: Advise, device: &Device) -> anyhow::Result<()> {
    let name = args.recipe.as_deref().unwrap_or("default");
    // A run folder holds a recipe: its own configuration.
    let of_run = Path::new(name).join("config.toml");
    let name = if of_run.exists() { of_run.to_string_lossy().into_owned() } else { name.into() };
    let (_, text) = recipe_text(&name)?;
    let mut changes = data_changes(args.data.as_deref())?;
    changes.extend(args.set.iter().cloned());
    let (mut recipe, _) = Recipe::with_changes(&text, &changes)?;
    let data = open(&recipe.data, recipe.seed)?;
    recipe.train.batch = recipe.train.batch.min(data.len());
    say(&format!(
        "{}: {} images {}, probed in runs of {} steps with the network {}",
        data.name(),
        thousands(data.len()),
        data.shape(),
        thousands(args.steps as usize),
        recipe.model.architecture.name(),
    ));
    signals::catch()?;
    let mut progress = StudyProgress::default();
    let advice = studies::advise(&recipe, data, args.steps, device, &mut progress);
    progress.finish();
    let advice = advice?;
    if args.json { print_json(&advice) } else { print(&words(&advice, &again(&args))) }
}

/// The arguments that `train` needs to train on the same images with the same network.
fn again(args: &Advise) -> String {
    let mut words = Vec::new();
    if let Some(recipe) = &args.recipe {
        let config = Path::new(recipe).join("config.toml");
        words.push(if config.exists() { quoted(config) } else { quoted(recipe) });
    }
    if let Some(data) = &args.data {
        words.push(format!("--data {}", quoted(data)));
    }
    words.extend(args.set.iter().map(|set| format!("--set {}", quoted(set))));
    words.iter().map(|word| format!(" {word}")).collect()
}

/// The result for people.
fn words(advice: &Advice, again: &str) -> String {
    let mut text = format!(
        "{:>8}{:>12}{:>10}{:>14}{:>8}\n",
        "beta", "beta_norm", "KL", "-ln p(x|z)", "active"
    );
    for probe in &advice.probes {
        text += &format!(
            "{:>8}{:>12.4}{:>10.2}{:>14.2}{:>8}\n",
            probe.beta, probe.beta_norm, probe.kl, probe.reconstruction, probe.active
        );
    }
    if !advice.tracking.is_empty() {
        text += &format!("\n{:>8}{:>22}{:>14}\n", "gamma", "largest |KL - C|", "-ln p(x|z)");
    }
    for Tracking { gamma, distance, reconstruction } in &advice.tracking {
        text += &format!("{gamma:>8}{distance:>22.2}{reconstruction:>14.2}\n");
    }
    text += "\n";
    for reason in &advice.reasons {
        text += &format!("- {reason}\n");
    }
    let mut commands = Vec::new();
    if let Some([least, most]) = advice.beta {
        // In the middle of the range, as ratios go.
        let middle = (least * most).sqrt();
        commands.push(format!(
            "betavae train{again} --set objective.kind=h --set objective.beta={middle}"
        ));
    }
    if let (Some(gamma), Some(c_max)) = (advice.gamma, advice.c_max) {
        commands.push(format!(
            "betavae train{again} --set objective.kind=b --set objective.gamma={gamma} \\\n    \
             --set objective.c_max={c_max} --set objective.c_start=5000 --set objective.c_steps=95000 --steps 150000"
        ));
    }
    if !commands.is_empty() {
        text += &format!("\n{}", commands.join("\n"));
    }
    text.trim_end().to_owned()
}
