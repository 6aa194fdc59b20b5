//! The files of a sweep's report.

use std::fs;
use std::path::{Path, PathBuf};

use super::{RankedRun, SweepReport};
use crate::error::{IoContext, Result};
use crate::figures::save;
use crate::files::write_atomically;
use crate::runs::{DataColumn, write_columns};

impl SweepReport {
    /// Writes the page, the table of groups, UDR by run, figures and pictures into a folder, which is made if it is not there.
    /// Returns the files.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).context("create", folder)?;
        let mut written = vec![folder.join("report.html")];
        write_atomically(&written[0], self.page().as_bytes())?;
        let formats: &[&str] =
            if cfg!(feature = "formats") { &["csv", "parquet"] } else { &["csv"] };
        for format in formats {
            let path = folder.join("summary").with_extension(format);
            write_columns(&path, &self.summary)?;
            written.push(path);
        }
        if !self.udr.is_empty() {
            let words = |of: fn(&RankedRun) -> &String| {
                self.udr.iter().map(move |run| Some(of(run).clone()))
            };
            let columns = [
                DataColumn::words("name", words(|run| &run.name)),
                DataColumn::words("group", words(|run| &run.group)),
                DataColumn::numbers("udr", self.udr.iter().map(|run| Some(run.udr))),
            ];
            let path = folder.join("udr.csv");
            write_columns(&path, &columns)?;
            written.push(path);
        }
        let many = self.data_sets.len() > 1;
        for data in &self.data_sets {
            // What is drawn of several data sets is told apart by them.
            let suffix = if many { format!("-{}", file_words(&data.label)) } else { String::new() };
            let mut names: Vec<String> = Vec::new();
            for drawn in &data.figures {
                let name = file_words(&drawn.name) + &suffix;
                let same = names.iter().filter(|known| **known == name).count();
                let number = if same > 0 { format!("-{}", same + 1) } else { String::new() };
                let path = folder.join(format!("{name}{number}.svg"));
                drawn.figure.save(&path)?;
                names.push(name);
                written.push(path);
            }
            let Some(choice) = &data.choice else { continue };
            for (name, run) in [("best", &choice.best), ("median", &choice.median)] {
                if let Some(picture) = &run.traversal {
                    let path = folder.join(format!("{name}-traversal{suffix}.png"));
                    save(picture, &path)?;
                    written.push(path);
                }
            }
        }
        Ok(written)
    }
}

/// Words as a part of a file's name.
fn file_words(words: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    words.chars().map(plain).collect()
}
