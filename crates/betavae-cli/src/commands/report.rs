//! `report`.

use betavae::Device;
use betavae::report::{self, ReportedRun};

use super::{check_ending, open_for};
use crate::args::{Images, Report};
use crate::output::{print, say};

pub fn report(args: Report, device: &Device) -> anyhow::Result<()> {
    if let Some(output) = &args.output {
        check_ending(output, &["html", "htm"])?;
    }
    let own = Images { data: None, set: Vec::new() };
    let mut entries = Vec::new();
    for folder in &args.runs {
        let mut entry = ReportedRun::read(folder, device)?;
        entry.data = match entry.trained.as_ref().map(|trained| open_for(trained, &own)) {
            Some(Ok(data)) => Some(data),
            Some(Err(error)) => {
                say(&format!("{}: without images: {error}", folder.display()));
                None
            }
            None => None,
        };
        entries.push(entry);
    }
    let output = args.output.unwrap_or_else(|| match &args.runs[..] {
        [run] => run.join("report.html"),
        _ => "report.html".into(),
    });
    report::write(&output, &entries)?;
    print(&output.display().to_string())
}
