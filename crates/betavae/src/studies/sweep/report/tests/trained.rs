//! Reports of small sweeps that were trained.

use std::fs;
use std::path::Path;

use crate::Device;
use crate::data;
use crate::scores::ScoreName;
use crate::studies::sweep::report::SweepReport;
use crate::studies::{Executed, Executor, Sweep, SweepFile};

const SET: &str = "
    [set]
    model = { architecture = 'custom', widths = [2, 4], hidden = [8], latents = 3 }
    train = { steps = 6, batch = 4, log_every = 3 }
    [scores]
    names = ['mig', 'modularity']
    limit = 200
";

fn plan(folder: &Path, data: &str, rest: &str) -> Sweep {
    let text =
        format!("name = 'small'\n{rest}\n{SET}").replace("train =", &format!("{data}\ntrain ="));
    let path = folder.join("small.toml");
    fs::write(&path, &text).unwrap();
    let file = SweepFile::read(&path).unwrap();
    let mut shape = |config: &_, seed| Ok(data::open(config, seed)?.shape());
    Sweep::plan(file, folder.join("runs"), &mut shape).unwrap()
}

fn execute(sweep: &Sweep, count: usize) {
    let device = Device::flex();
    let mut executor = Executor::new(sweep, &device);
    for run in &sweep.runs[..count] {
        assert_eq!(executor.execute(run, &mut ()).unwrap(), Executed::Done, "{}", run.name);
    }
}

fn report(sweep: &Sweep, by: Option<ScoreName>) -> SweepReport {
    sweep.report(by, &Device::flex(), &mut ()).unwrap()
}

#[test]
fn a_sweep_that_is_half_done_has_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let grid = "
        [[grid]]
        objective.beta = [1, 4]
        seed = '1..=3'
        [[grid]]
        objective.kind = 'control-vae'
        seed = [1, 2, 3]
    ";
    let sweep = plan(folder.path(), "data.name = 'blobs'", grid);
    let waiting = report(&sweep, Some(ScoreName::Mig));
    assert!(waiting.page().contains("No run is done yet"));
    execute(&sweep, 7);
    sweep.fail(&sweep.runs[7], "the <disk> is full").unwrap();
    let found = report(&sweep, None);
    let counts = found.progress;
    assert_eq!((counts.runs, counts.done, counts.waiting, counts.failed), (9, 7, 1, 1));
    let sizes: Vec<usize> = found.groups.iter().map(|group| group.runs.len()).collect();
    assert_eq!(sizes, [3, 3, 1]);
    // Only groups of several runs are ranked.
    assert_eq!(found.udr.len(), 6);
    assert_eq!(found.data_sets[0].udr_agreement.len(), 2);
    assert_eq!(found.data_sets[0].udr_agreement[0].n, 6);
    let page = found.page();
    for part in [
        "Over seeds",
        "bootstrap over runs, 95\u{a0}%",
        "objective.kind h, objective.beta 4.0",
        "<h2>Figures",
        "rank correlation between scores",
        "Reconstruction with sampled z against scores",
        "Groups of runs in which no weight varies",
        "Without labels: UDR",
        "How well UDR agrees",
        "Best and median run by mig",
        "data:image/png;base64,",
        "betavae explore ",
        "Failures",
        "the &lt;disk&gt; is full",
        "1 waiting",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing is asked of any server.
    for (at, _) in page.match_indices("http") {
        assert!(page[at..].starts_with("http://www.w3.org/2000/svg"), "{}", &page[at..at + 60]);
    }
    assert!(!page.contains("<script") && !page.contains("NaN"));
    let files = found.write(&folder.path().join("out/report")).unwrap();
    let names: Vec<String> =
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    for name in ["report.html", "summary.csv", "udr.csv", "score-weight.svg", "best-traversal.png"]
    {
        assert!(
            names.iter().any(|known| known == name) && files.iter().all(|f| f.exists()),
            "{names:?}"
        );
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["groups"][0]["quantities"]["mig"]["n"], 3);
    assert_eq!(json["progress"]["failed"], 1);
    // The same again, to the last digit.
    assert_eq!(serde_json::to_value(report(&sweep, None)).unwrap(), json);
    let Err(error) = sweep.report(Some(ScoreName::Irs), &Device::flex(), &mut ()) else { panic!() };
    assert!(error.hint().unwrap().contains("mig, modularity"), "{error:?}");
}

#[test]
fn a_model_that_cannot_be_loaded_is_told_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = plan(folder.path(), "data.name = 'blobs'", "[grid]\nseed = '1..=3'");
    execute(&sweep, 3);
    let damaged = &sweep.runs[1];
    let model = sweep.folder_of(damaged).join("checkpoints/step-000000006/model.safetensors");
    fs::write(&model, "nothing").unwrap();
    let found = report(&sweep, None);
    assert_eq!((found.progress.done, found.udr.len()), (3, 2));
    assert!(found.failures[0].name == damaged.name, "{:?}", found.failures);
    assert!(found.failures[0].message.starts_with("its model cannot be used: "));
}

#[test]
fn images_without_factors_have_a_report_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for i in 0..12_u8 {
        let pixel = |x: u32, y: u32| image::Luma([(x * 16) as u8 ^ (y * 16) as u8 ^ (20 * i)]);
        image::GrayImage::from_fn(16, 16, pixel).save(images.join(format!("{i}.png"))).unwrap();
    }
    fs::write(folder.path().join("own.toml"), "[data]\npath = 'images'").unwrap();
    let rest = "recipe = 'own.toml'\n[grid]\nobjective.beta = [1, 2]\nseed = [1, 2]";
    let sweep = plan(folder.path(), "", rest);
    execute(&sweep, 4);
    let found = report(&sweep, None);
    assert_eq!((found.groups.len(), found.udr.len()), (2, 4));
    assert!(found.data_sets[0].udr_agreement.is_empty());
    let page = found.page();
    assert!(page.contains("Best and median run by udr") && !page.contains("agrees with labels"));
    // Images that have gone are no reason to fail.
    fs::remove_dir_all(&images).unwrap();
    let found = report(&sweep, None);
    assert!(found.udr.is_empty() && !found.failures.is_empty(), "{:?}", found.failures);
    assert!(found.page().contains("Loss terms"));
}
