//! `bottleneck`.

use betavae::Device;
use betavae::bottleneck::study;
use indicatif::{ProgressBar, ProgressStyle};

use super::{create_folder, write_file};
use crate::args::Bottleneck;
use crate::output::print;

pub fn bottleneck(args: Bottleneck, device: &Device) -> anyhow::Result<()> {
    let folder = &args.output;
    create_folder(folder)?;
    let bar = ProgressBar::new(args.steps);
    bar.set_style(
        ProgressStyle::with_template("{bar:24.cyan/dim} {pos}/{len}  {per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let found = study(args.steps, device, &mut |step| bar.set_position(step))?;
    bar.finish_and_clear();
    let at = |ending: &str| folder.join("bottleneck").with_extension(ending);
    found.figure().save(&at("svg"))?;
    betavae::figures::save(&found.pictures, &at("png"))?;
    write_file(&at("csv"), found.csv())?;
    for ending in ["svg", "png", "csv"] {
        print(&at(ending).display().to_string())?;
    }
    Ok(())
}
