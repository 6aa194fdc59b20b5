//! The built-in recipes.

/// Name and text of every built-in recipe.
pub const RECIPES: [(&str, &str); 26] = [
    ("default", include_str!("../recipes/default.toml")),
    ("higgins2017-dsprites", include_str!("../recipes/higgins2017-dsprites.toml")),
    ("higgins2017-chairs", include_str!("../recipes/higgins2017-chairs.toml")),
    ("higgins2017-celeba", include_str!("../recipes/higgins2017-celeba.toml")),
    ("higgins2017-faces", include_str!("../recipes/higgins2017-faces.toml")),
    ("burgess2018-dsprites", include_str!("../recipes/burgess2018-dsprites.toml")),
    (
        "burgess2018-dsprites-gamma-100",
        include_str!("../recipes/burgess2018-dsprites-gamma-100.toml"),
    ),
    ("burgess2018-dsprites-color", include_str!("../recipes/burgess2018-dsprites-color.toml")),
    ("burgess2018-chairs", include_str!("../recipes/burgess2018-chairs.toml")),
    ("burgess2018-celeba", include_str!("../recipes/burgess2018-celeba.toml")),
    ("burgess2018-blobs", include_str!("../recipes/burgess2018-blobs.toml")),
    ("pytorch-vae-h", include_str!("../recipes/pytorch-vae-h.toml")),
    ("pytorch-vae-b", include_str!("../recipes/pytorch-vae-b.toml")),
    ("locatello2019-beta", include_str!("../recipes/locatello2019-beta.toml")),
    ("locatello2019-annealed", include_str!("../recipes/locatello2019-annealed.toml")),
    ("locatello2019-factor", include_str!("../recipes/locatello2019-factor.toml")),
    ("locatello2019-tcvae", include_str!("../recipes/locatello2019-tcvae.toml")),
    ("locatello2019-dip-i", include_str!("../recipes/locatello2019-dip-i.toml")),
    ("locatello2019-dip-ii", include_str!("../recipes/locatello2019-dip-ii.toml")),
    ("locatello2020-ada-gvae", include_str!("../recipes/locatello2020-ada-gvae.toml")),
    ("locatello2020-ada-ml-vae", include_str!("../recipes/locatello2020-ada-ml-vae.toml")),
    ("kim2018-dsprites", include_str!("../recipes/kim2018-dsprites.toml")),
    ("chen2018-dsprites", include_str!("../recipes/chen2018-dsprites.toml")),
    ("kumar2018-dip-i", include_str!("../recipes/kumar2018-dip-i.toml")),
    ("kumar2018-dip-ii", include_str!("../recipes/kumar2018-dip-ii.toml")),
    ("shao2020-dsprites", include_str!("../recipes/shao2020-dsprites.toml")),
];

/// The text of a built-in recipe.
pub fn find(name: &str) -> Option<&'static str> {
    RECIPES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The first comment line of a recipe: what it is.
pub fn summary(text: &str) -> &str {
    text.lines().next().map_or("", |line| line.trim_start_matches('#').trim())
}

/// How long it takes, from the line `# Time: about ... on ...`.
pub fn duration(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("# Time: about "));
    line.and_then(|line| line.split(" on ").next()).unwrap_or("")
}

/// What whoever trains with its numbers should know, from the lines that begin with `# Note: `.
pub fn note(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("# Note: "));
    let mut note = lines.next()?.trim_start_matches("# Note: ").to_owned();
    // Up to the next line that says what it is about.
    for line in lines {
        match line.strip_prefix("# ").filter(|text| !text.starts_with("Time: ")) {
            Some(text) => note = format!("{note} {text}"),
            None => break,
        }
    }
    Some(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recipe;
    use crate::data::ImageShape;

    #[test]
    fn every_recipe_is_built_in_valid_and_cites_its_source() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes");
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut built_in: Vec<_> = RECIPES.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        built_in.sort();
        assert_eq!(names, built_in);
        for (name, text) in RECIPES {
            let recipe = Recipe::from_toml(text).expect(name);
            let channels =
                if name.contains("celeba") || name.starts_with("pytorch") { 3 } else { 1 };
            recipe.resolve(ImageShape::new(64, 64, channels)).expect(name);
            assert!(!summary(text).is_empty(), "{name}");
            assert!(text.contains("# Source:"), "{name} cites nothing");
            assert!(!duration(text).is_empty(), "{name} does not say how long it takes");
        }
    }
}
