//! `recipes`.

use betavae::Error;

use crate::args::Recipes;
use crate::output::print;
use crate::recipes::{RECIPES, find, summary};

pub fn recipes(args: Recipes) -> anyhow::Result<()> {
    let Some(name) = args.name else {
        let lines = RECIPES.map(|(name, text)| format!("{name:<28}{}", summary(text)));
        return print(&lines.join("\n"));
    };
    let text = find(&name).ok_or_else(|| Error::Config {
        message: format!("there is no recipe `{name}`"),
        hint: "`betavae recipes` lists them".into(),
    })?;
    print(text.trim_end())
}
