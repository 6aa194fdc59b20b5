//! `figures`.

use std::path::Path;

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::figures::{FigureInput, FigureName};
use betavae::runs::Record;

use super::{create_folder, open_for};
use crate::args::{FigureFormat, Figures};
use crate::output::{print, say};

pub fn figures(args: Figures, device: &Device) -> anyhow::Result<()> {
    match &args.models[..] {
        [model] => of_model(&args, model, device),
        runs => {
            let runs: Vec<Record> =
                runs.iter().map(|run| Record::read(run)).collect::<Result<_, _>>()?;
            let names = wanted(&args, FigureName::compares);
            let subject = FigureInput::runs(runs.iter().collect());
            let output = args.output.clone().unwrap_or_else(|| "figures".into());
            draw(&args, subject, &names, &output)
        }
    }
}

fn of_model(args: &Figures, model: &Path, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(model, device)?;
    let is_run = model.join("config.toml").exists();
    let run = is_run.then(|| Record::read(model)).transpose()?;
    // Some figures need no data, so a data set that has moved is no reason to fail.
    let data = match open_for(&trained, &args.images) {
        Ok(data) => Some(data),
        Err(error) if args.images.data.is_none() && args.images.set.is_empty() => {
            say(&format!("without images: {error}"));
            None
        }
        Err(error) => return Err(error),
    };
    let folder = if is_run { model.join("figures") } else { "figures".into() };
    let output = args.output.clone().unwrap_or(folder);
    let names = wanted(args, |name| !name.compares());
    let subject = FigureInput::model(&trained, data.as_deref(), run.as_ref());
    draw(args, subject, &names, &output)
}

/// The figures that were asked for, or those that make sense.
fn wanted(args: &Figures, sensible: impl Fn(FigureName) -> bool) -> Vec<FigureName> {
    if !args.only.is_empty() {
        return args.only.clone();
    }
    FigureName::ALL.into_iter().filter(|name| sensible(*name)).collect()
}

/// Draws figures into a folder and prints the files. Where none was asked for by name, those that cannot
/// be drawn are left out.
fn draw(
    args: &Figures,
    mut subject: FigureInput<'_>,
    names: &[FigureName],
    folder: &Path,
) -> anyhow::Result<()> {
    create_folder(folder)?;
    for name in names {
        let drawing = match subject.draw(*name) {
            Ok(Some(drawing)) => drawing,
            Ok(None) if args.only.is_empty() => continue,
            Ok(None) => {
                return Err(betavae::Error::Config {
                    message: format!("no figure `{}`: it needs {}", name.name(), name.needs()),
                    hint: String::new(),
                }
                .into());
            }
            Err(error) if args.only.is_empty() => {
                say(&format!("without {}: {error}", name.name()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let svg = args.format == FigureFormat::Svg && drawing.is_vector();
        let path = folder.join(name.name()).with_extension(if svg { "svg" } else { "png" });
        drawing.save(&path)?;
        print(&path.display().to_string())?;
    }
    Ok(())
}
