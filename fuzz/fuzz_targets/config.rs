#![no_main]

use betavae::config::Config;
use betavae::data::ImageShape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((mut config, _)) = Config::from_recipe(text, &[]) {
        let _ = config.resolve(ImageShape::new(64, 64, 1));
        let _ = config.check();
        let text = config.to_toml();
        let _ = Config::from_toml(&text);
    }
});
