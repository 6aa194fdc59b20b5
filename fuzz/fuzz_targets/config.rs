//! Recipes and resolved configurations.

#![no_main]

use betavae::config::{Config, Recipe};
use betavae::data::ImageShape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(recipe) = Recipe::from_toml(text)
        && let Ok(config) = recipe.resolve(ImageShape::new(64, 64, 1))
    {
        // What is written is read as it was.
        assert_eq!(Config::from_toml(&config.to_toml()).ok().as_ref(), Some(&config));
    }
});
