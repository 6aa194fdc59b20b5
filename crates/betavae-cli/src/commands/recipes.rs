//! `recipes`.

use betavae::Error;
use betavae::recipes::{RECIPES, duration, find, summary};

use crate::args::Recipes;
use crate::output::print;

pub fn recipes(args: Recipes) -> anyhow::Result<()> {
    let Some(name) = args.name else {
        let line = |(name, text)| format!("{name:<28}{:<21}{}", duration(text), summary(text));
        let times = "Times are those of two cores of a Zen 5 server.";
        return print(&format!("{}\n\n{times}", RECIPES.map(line).join("\n")));
    };
    let text = find(&name).ok_or_else(|| Error::Config {
        message: format!("there is no recipe `{name}`"),
        hint: "`betavae recipes` lists them".into(),
    })?;
    print(text.trim_end())
}
