//! `sweep report`.

use std::process::ExitCode;

use betavae::Device;

use super::{conclude, plan};
use crate::args::SweepReport;
use crate::output::{print, print_json, say};
use crate::progress::StudyProgress;
use crate::signals;

pub(super) fn report(args: SweepReport, device: &Device) -> anyhow::Result<ExitCode> {
    let sweep = plan(&args.place)?;
    signals::catch()?;
    let mut progress = StudyProgress::default();
    let report = sweep.report(args.by, device, &mut progress);
    progress.finish();
    let report = report?;
    let folder = args.output.unwrap_or_else(|| sweep.folder.join("report"));
    let files = report.write(&folder)?;
    if args.json {
        print_json(&report)?;
    } else {
        for file in &files {
            print(&file.display().to_string())?;
        }
    }
    for failure in &report.failures {
        say(&format!("{}: {}", failure.name, failure.message));
    }
    conclude(&sweep, &sweep.status());
    Ok(ExitCode::SUCCESS)
}
