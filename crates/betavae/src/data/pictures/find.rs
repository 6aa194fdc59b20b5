//! Which files of a folder or archive are images, which part of a divided set is wanted, and which labels
//! belong to the images.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::bundle::Bundle;
use super::super::labels::{self, FoundLabels, ImagesToLabel};
use super::super::split;
use super::super::stored::OpenContext;
use super::super::{DataConfig, Factors};
use super::{is_image, is_tar, samples};
use crate::error::{Error, Result};
use crate::files::extension_of;
use crate::table::{ColumnData, Table, TableRole};
use crate::words::{counted, quoted};

/// Files that systems leave in folders.
const CLUTTER: [&str; 3] = ["thumbs.db", "desktop.ini", "ehthumbs.db"];

/// Image files and what is known about them.
pub(super) struct Pictures {
    pub(super) bundle: Bundle,
    pub(super) labels: FoundLabels,
}

/// The images at `path`.
pub(super) fn find(path: &Path, opening: &mut OpenContext<'_>) -> Result<Pictures> {
    let config = opening.config;
    let shown = |name: &Path| !name.iter().any(is_hidden);
    let mut bundle = if path.is_dir() {
        Bundle::folder(path, |_| true)?
    } else if is_image(path) {
        Bundle::file(path)
    } else {
        Bundle::archive(path, shown)?
    };
    leave_out_runs(&mut bundle, opening)?;
    if !bundle.names().any(is_image) {
        let mut shards: Vec<PathBuf> =
            bundle.names().filter(|name| is_tar(name)).map(Path::to_owned).collect();
        if shards.is_empty() {
            return Err(no_image_found(path, &bundle));
        }
        if let Some((total, kinds)) = kinds(bundle.names().filter(|name| !is_tar(name))) {
            opening
                .notes
                .push(format!("{} beside the shards left out: {kinds}", counted(total, "file")));
        }
        let parts = split::choose(path, &shards, config.split, "shard", &mut opening.notes)?;
        shards = parts.into_iter().map(|position| shards[position].clone()).collect();
        return in_samples(Bundle::shards(path, &shards, shown)?, config);
    }
    if is_tar(path) && config.labels.is_none() && samples::has_labels(&bundle) {
        split::refuse(path, config)?;
        return in_samples(bundle, config);
    }
    let files_left_out = files_left_out(&bundle);
    let tables = tables(&bundle)?;
    let images: Vec<bool> = bundle.names().map(is_image).collect();
    bundle.keep(|position| images[position]);
    bundle.sort()?;
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let wanted = split::choose(path, &names, config.split, "image", &mut opening.notes)?;
    bundle.keep(|position| wanted.binary_search(&position).is_ok());
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let images = ImagesToLabel { path, len: names.len(), files: Some(&names) };
    let labels = match labels::configured_labels(config, &images)? {
        Some(labels) => labels,
        None => labels_inside(&tables, &images)?,
    };
    if let Some(note) = files_left_out {
        opening.notes.push(note);
    }
    Ok(Pictures { bundle, labels })
}

fn in_samples(bundle: Bundle, config: &DataConfig) -> Result<Pictures> {
    let (bundle, found) = samples::open(bundle)?;
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let images = ImagesToLabel { path: bundle.path(), len: names.len(), files: Some(&names) };
    let labels = labels::configured_labels(config, &images)?.unwrap_or(found);
    Ok(Pictures { bundle, labels })
}

/// Leaves out the folders of runs, because the pictures in them are results, not data.
fn leave_out_runs(bundle: &mut Bundle, opening: &mut OpenContext<'_>) -> Result<()> {
    let folder =
        |name: &Path, end: &str| name.ends_with(end).then(|| name.parent().map(Path::to_owned))?;
    let configs: BTreeSet<PathBuf> =
        bundle.names().filter_map(|name| folder(name, "config.toml")).collect();
    let holds =
        |run: &PathBuf, part: &str| bundle.names().any(|name| name.starts_with(run.join(part)));
    let mut runs: Vec<PathBuf> = configs
        .into_iter()
        .filter(|run| holds(run, "checkpoints") || holds(run, "run.lock"))
        .collect();
    if bundle.path().join("config.toml").exists() && bundle.path().join("checkpoints").exists() {
        runs.push(PathBuf::new());
    }
    if runs.is_empty() {
        return Ok(());
    }
    if runs.iter().any(|run| run.as_os_str().is_empty()) {
        let reason = "this is the folder of a run, whose pictures are no data";
        return Err(Error::file_hint(bundle.path(), reason, "name the images it was trained on"));
    }
    let outside: Vec<bool> =
        bundle.names().map(|name| !runs.iter().any(|run| name.starts_with(run))).collect();
    bundle.keep(|position| outside[position]);
    let first = runs[0].display();
    opening.notes.push(match runs.len() {
        1 => format!("{first} is the folder of a run and left out"),
        count => format!("{count} folders of runs are left out, such as {first}"),
    });
    Ok(())
}

/// How many files are neither images nor tables, by their endings.
fn files_left_out(bundle: &Bundle) -> Option<String> {
    let is_other = |name: &&Path| {
        let file = name.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        !is_image(name) && !labels::is_table(name) && !CLUTTER.contains(&&*file)
    };
    let (total, kinds) = kinds(bundle.names().filter(is_other))?;
    Some(format!("{} of other kinds left out: {kinds}", counted(total, "file")))
}

/// The number of files, and that of each ending, the most frequent first.
fn kinds<'a>(names: impl Iterator<Item = &'a Path>) -> Option<(usize, String)> {
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let ending = match name.extension() {
            Some(_) => format!(".{}", extension_of(name)),
            None => "without ending".to_owned(),
        };
        *endings.entry(ending).or_default() += 1;
    }
    let mut kinds: Vec<(String, usize)> = endings.into_iter().collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let total: usize = kinds.iter().map(|(_, count)| count).sum();
    let mut words: Vec<String> =
        kinds.iter().take(6).map(|(ending, count)| format!("{count} {ending}")).collect();
    if kinds.len() > 6 {
        words.push("...".into());
    }
    (total > 0).then(|| (total, words.join(", ")))
}

/// The error for a source without images, which says what is there instead.
fn no_image_found(path: &Path, bundle: &Bundle) -> Error {
    let place = if path.is_dir() { "it or its subfolders" } else { "it" };
    let found = match kinds(bundle.names()) {
        None => "no file".to_owned(),
        Some((total, kinds)) => format!("{} ({kinds})", counted(total, "file")),
    };
    let has = |wanted: &str| bundle.names().any(|name| extension_of(name) == wanted);
    let hint = if has("npy") || has("npz") {
        "give one array file in place of the folder"
    } else if path.is_file() {
        "unpack it, and give one of the files in it"
    } else if has("zip") || has("h5") || has("hdf5") {
        "give one file in place of the folder"
    } else {
        "images are .png, .jpg, .webp, .tif, .bmp and .gif files"
    };
    Error::file_hint(path, format!("no image found in {place}: it has {found}"), hint)
}

/// A table in the folder or archive.
struct TableInside {
    /// Relative to it.
    name: PathBuf,
    /// What is in it, if it may hold labels.
    table: Option<Result<Table>>,
}

/// The tables of a bundle; those that are found by themselves are read.
fn tables(bundle: &Bundle) -> Result<Vec<TableInside>> {
    let best = bundle.names().filter_map(labels::rank).min();
    let mut found = Vec::new();
    for (index, name) in bundle.names().enumerate().filter(|(_, name)| labels::is_table(name)) {
        let is_meant = best.is_some() && labels::rank(name) == best;
        let place = bundle.place(index);
        let table = is_meant.then(|| match place.is_file() {
            true => Table::read(&place, TableRole::Factors),
            false => bundle.read(index).and_then(|content| Table::parse(&place, &content)),
        });
        found.push(TableInside { name: name.to_owned(), table });
    }
    Ok(found)
}

/// Labels that were not configured: of tables with a known name, or else of folders that are classes.
fn labels_inside(tables: &[TableInside], images: &ImagesToLabel<'_>) -> Result<FoundLabels> {
    let files = images.files.unwrap_or_default();
    let is_beside = |lying: &&TableInside| {
        let folder = lying.name.parent().unwrap_or(Path::new(""));
        files.iter().any(|file| file.starts_with(folder))
    };
    let readable = |lying: &&TableInside| lying.table.is_some() && is_beside(lying);
    let meant: Vec<&TableInside> = tables.iter().filter(readable).collect();
    let mut labels = match meant.as_slice() {
        [] => FoundLabels::default(),
        [one] => {
            let name = one.name.display().to_string();
            labels::labels_beside(take(one), &name, images)?
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|one| one.name.display().to_string()).collect();
            labels::labels_beside(together(several), &names.join(" and "), images)?
        }
    };
    let unread = tables.iter().filter(|lying| !readable(lying) && lying.name.iter().count() == 1);
    for lying in unread {
        let name = lying.name.display();
        let file = quoted(&lying.name);
        labels.notes.push(format!("{name} lies there unused: `--set data.labels={file}` reads it"));
    }
    if labels.factors.is_none() && meant.is_empty() {
        let (classes, note) = class_folders(files);
        labels.factors = classes;
        labels.notes.extend(note);
    }
    Ok(labels)
}

/// A copy of what was read.
fn take(lying: &TableInside) -> Result<Table> {
    match &lying.table {
        Some(Ok(table)) => Ok(table.clone()),
        Some(Err(Error::File { path, reason, hint })) => {
            Err(Error::file_hint(path, reason.clone(), hint.clone()))
        }
        Some(Err(other)) => Err(Error::file(&lying.name, other.to_string())),
        None => Err(Error::file(&lying.name, "it was not read")),
    }
}

/// Tables in several folders as one; names in them are relative to their own folder.
fn together(several: &[&TableInside]) -> Result<Table> {
    let mut tables = Vec::new();
    for lying in several {
        let mut table = take(lying)?;
        if let Some(column) = table.file_column() {
            let folder = lying.name.parent().unwrap_or(Path::new(""));
            if let ColumnData::Words(words) = &mut table.columns[column].cells {
                let below = |word: &String| folder.join(word).to_string_lossy().into_owned();
                words.iter_mut().for_each(|word| *word = below(word));
            }
        }
        tables.push(table);
    }
    Table::concat(tables)
}

/// The classes of images in folders that are named after them, as torchvision's `ImageFolder` reads them.
fn class_folders(files: &[PathBuf]) -> (Option<Factors>, Option<String>) {
    let parts: Vec<Vec<&OsStr>> = files
        .iter()
        .map(|file| {
            let parts: Vec<&OsStr> = file.iter().collect();
            parts[..parts.len().saturating_sub(1)].to_vec()
        })
        .collect();
    let level = split::level(files);
    let without_part = |parts: &Vec<&OsStr>| {
        let rest = parts.iter().enumerate().filter(|(i, _)| Some(*i) != level);
        rest.map(|(_, part)| part.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let parts: Vec<Vec<String>> = parts.iter().map(without_part).collect();
    // What all have in common, such as the folder that was packed.
    let common = (0..)
        .take_while(|i| {
            let first = parts.first().and_then(|parts| parts.get(*i));
            first.is_some() && parts.iter().all(|parts| parts.get(*i) == first)
        })
        .count();
    let classes: Option<Vec<String>> =
        parts.iter().map(|parts| parts.get(common).cloned()).collect();
    let Some(classes) = classes else { return (None, None) };
    let rows: Vec<usize> = (0..classes.len()).collect();
    let (words, values) = labels::classes(&classes, &rows);
    if words.len() < 2 || 2 * words.len() > classes.len() {
        return (None, None);
    }
    let Ok(mut factors) = Factors::from_values(&["class"], &values) else { return (None, None) };
    let names: Vec<&str> = words.iter().take(4).map(String::as_str).collect();
    let more = if words.len() > 4 { ", ..." } else { "" };
    let note = format!("factor `class` from {} folders: {}{more}", words.len(), names.join(", "));
    factors.set_words([words]);
    (Some(factors), Some(note))
}

/// Files that systems leave in archives.
fn is_hidden(part: &OsStr) -> bool {
    part.as_encoded_bytes().starts_with(b".") || part == "__MACOSX"
}

#[cfg(test)]
mod tests;
