//! `bottleneck`.

use betavae::Device;
use betavae::studies;

use super::{create_folder, write_file};
use crate::args::Bottleneck;
use crate::output::print;
use crate::progress::StudyProgress;
use crate::signals;

pub fn bottleneck(args: Bottleneck, device: &Device) -> anyhow::Result<()> {
    let folder = &args.output;
    create_folder(folder)?;
    signals::catch()?;
    let mut progress = StudyProgress::default();
    let found = studies::bottleneck(args.steps, device, &mut progress);
    progress.finish();
    let found = found?;
    let at = |ending: &str| folder.join("bottleneck").with_extension(ending);
    found.figure().save(&at("svg"))?;
    betavae::figures::save(&found.pictures, &at("png"))?;
    write_file(&at("csv"), found.csv())?;
    for ending in ["svg", "png", "csv"] {
        print(&at(ending).display().to_string())?;
    }
    Ok(())
}
