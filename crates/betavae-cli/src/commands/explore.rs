//! `explore`.

use std::path::{Path, PathBuf};

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::explore::page;

use super::{check_ending, open_for};
use crate::args::Explore;
use crate::output::{print, say};

pub fn explore(args: Explore, device: &Device) -> anyhow::Result<()> {
    if let Some(output) = &args.output {
        check_ending(output, &["html", "htm"])?;
    }
    let trained = Trained::load(&args.model, device)?;
    // The page works without data, so a data set that has moved is no reason to fail.
    let data = match open_for(&trained, &args.images) {
        Ok(data) => Some(data),
        Err(error) if args.images.data.is_none() && args.images.set.is_empty() => {
            say(&format!("without example images: {error}"));
            None
        }
        Err(error) => return Err(error),
    };
    let page = page(&trained, data.as_deref(), args.range.into())?;
    let output = args.output.clone().unwrap_or_else(|| beside(&args.model));
    betavae::explore::write(&output, &page)?;
    print(&output.display().to_string())?;
    if args.output.is_none()
        && let Err(error) = opener::open(&output)
    {
        say(&format!("open this file in a browser (it did not open by itself: {error})"));
    }
    Ok(())
}

/// In the run folder, or in the current one for other models.
fn beside(model: &Path) -> PathBuf {
    match model.join("config.toml").exists() {
        true => model.join("explore.html"),
        false => "explore.html".into(),
    }
}
