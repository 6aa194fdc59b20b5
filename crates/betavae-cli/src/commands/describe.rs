//! `describe`.

use betavae::config::{Config, Recipe};
use betavae::data::Dataset;
use betavae::words::thousands;
use betavae::{Device, data};

use crate::args::Describe;
use crate::commands::train::recipe_text;
use crate::output::print;

pub fn describe(args: Describe, device: &Device) -> anyhow::Result<()> {
    let (_, text) = recipe_text(&args.recipe)?;
    let (recipe, _) = Recipe::with_changes(&text, &args.set)?;
    let data = data::open(&recipe.data, recipe.seed)?;
    let config = recipe.resolve(data.shape())?;
    if args.launches {
        return launches(&config, &*data);
    }
    let model = config.model().build(config.seed(), device)?;
    let parameters = model.parameter_count();
    for (label, text) in config.in_words(data.name(), data.len(), parameters) {
        print(&format!("{label:<11}{text}"))?;
    }
    print(&format!("\n{:<36}{:<20}{:>12}", "tensor", "shape", "values"))?;
    for tensor in model.to_named_tensors() {
        let shape = format!("{:?}", tensor.shape);
        print(&format!("{:<36}{shape:<20}{:>12}", tensor.name, thousands(tensor.values.len())))?;
    }
    Ok(())
}

#[cfg(feature = "gpu")]
fn launches(config: &Config, data: &dyn Dataset) -> anyhow::Result<()> {
    let store = betavae::train::image_store(config, data)?;
    print(betavae::train::launches(config, data.len(), store)?.to_string().trim_end())
}

#[cfg(not(feature = "gpu"))]
fn launches(_: &Config, _: &dyn Dataset) -> anyhow::Result<()> {
    let message = "this build knows no GPUs".to_owned();
    let hint = "build betavae with the cargo feature `gpu`".to_owned();
    Err(betavae::Error::Config { message, hint }.into())
}
