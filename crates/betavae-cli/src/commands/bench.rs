//! `bench`.

use std::io::BufRead;

use anyhow::bail;
use betavae::bench::{Bench, BenchOptions, LayerMeasurement, Measurement, measure, measure_layers};
use betavae::model::Architecture;
use betavae::{Error, cpu};
use serde_json::json;

use crate::args::{self, Architectures};
use crate::commands::warn_if_emulated;
use crate::compute::Compute;
use crate::output::{print, print_json};

pub fn bench(args: args::Bench, compute: &Compute) -> anyhow::Result<()> {
    warn_if_emulated(args.precision)?;
    let options = |architecture| {
        let default = BenchOptions::new(architecture);
        let image = args.image.unwrap_or(default.image);
        BenchOptions {
            batch: args.batch,
            image,
            mode: args.mode,
            precision: args.precision,
            objective: args.objective.clone(),
            ..default
        }
    };
    let one = match args.architecture {
        Architectures::One(architecture) => architecture,
        Architectures::All if args.serve => {
            let (message, hint) = ("--serve measures one architecture", "name it");
            return Err(Error::Config { message: message.into(), hint: hint.into() }.into());
        }
        Architectures::All => return presets(&args, options, compute),
    };
    #[cfg(feature = "gpu")]
    if args.layers && compute.gpu.is_some() {
        let bench = start(options(one), compute)?;
        return launches(&bench.launches(LAUNCH_ROUNDS)?, args.json);
    }
    if args.layers {
        return layers(&[options(one)], args.json);
    }
    let mut bench = start(options(one), compute)?;
    if args.serve {
        return serve(&mut bench);
    }
    let measured = measure(&mut bench, args.steps)?;
    if args.json {
        return print_json(&measured);
    }
    print(&heading())?;
    print(&row(&measured))
}

/// Every published network, one after the other.
fn presets(
    args: &args::Bench,
    options: impl Fn(Architecture) -> BenchOptions,
    compute: &Compute,
) -> anyhow::Result<()> {
    let presets = Architecture::ALL.into_iter().filter(|preset| *preset != Architecture::Custom);
    if args.layers {
        return layers(&presets.map(options).collect::<Vec<_>>(), args.json);
    }
    let mut measured = Vec::new();
    if !args.json {
        print(&heading())?;
    }
    for preset in presets {
        let measurement = measure(&mut start(options(preset), compute)?, args.steps)?;
        if !args.json {
            print(&row(&measurement))?;
        }
        measured.push(measurement);
    }
    if args.json { print_json(&measured) } else { Ok(()) }
}

fn start(options: BenchOptions, compute: &Compute) -> anyhow::Result<Bench> {
    #[cfg(feature = "gpu")]
    if let Some(gpu) = &compute.gpu {
        return Ok(Bench::on_gpu(options, &compute.cpu, gpu)?);
    }
    Ok(Bench::new(options, &compute.cpu)?)
}

fn heading() -> String {
    let [name, image, batch, threads, set] =
        ["architecture", "image", "batch", "threads", "instructions"];
    let [median, range, images, rate, peak, share] =
        ["median ms", "10 %..90 %", "images/s", "GFLOP/s", "peak", "share"];
    format!(
        "{name:<14}{image:<10}{batch:>5}{threads:>9}  {set:<14}{median:>9}{range:>18}{images:>10}\
         {rate:>9}{peak:>9}{share:>8}"
    )
}

/// The result for people.
fn row(measured: &Measurement) -> String {
    let Measurement { batch, threads, instruction_set, median_ms, p10_ms, p90_ms, .. } = measured;
    let Measurement { images_per_second, gflops, peak_gflops, share_of_peak, .. } = measured;
    let name = measured.architecture.name();
    let image = measured.image.to_string();
    let range = format!("{p10_ms:.2}..{p90_ms:.2}");
    // The peak of a GPU is not known.
    let peak = peak_gflops.map_or("-".to_owned(), |peak| format!("{peak:.1}"));
    let share = share_of_peak.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let set = measured.gpu.as_ref().map_or(*instruction_set, |_| "gpu");
    format!(
        "{name:<14}{image:<10}{batch:>5}{threads:>9}  {set:<14}{median_ms:>9.2}\
         {range:>18}{images_per_second:>10.0}{gflops:>9.1}{peak:>9}{share:>8}"
    )
}

/// The kernels of each convolution of these networks.
fn layers(networks: &[BenchOptions], as_json: bool) -> anyhow::Result<()> {
    if !as_json {
        let [name, layer, shapes, kernel] = ["architecture", "layer", "from -> to", "kernel"];
        let [forward, input, weight, peak] = ["forward", "by input", "by weights", "peak GFLOP/s"];
        print(&format!(
            "{name:<14}{layer:<26}{shapes:<24}{kernel:>6}{forward:>16}{input:>16}{weight:>16}\
             {peak:>14}"
        ))?;
    }
    let mut all = Vec::new();
    for options in networks {
        for measured in measure_layers(options)? {
            if !as_json {
                print(&layer_row(&measured))?;
            }
            all.push(measured);
        }
    }
    if as_json { print_json(&all) } else { Ok(()) }
}

/// How often each launch is measured.
#[cfg(feature = "gpu")]
const LAUNCH_ROUNDS: usize = 7;

/// The launches of a step on a GPU, each by itself.
#[cfg(feature = "gpu")]
fn launches(all: &[(betavae::gpu::Launch, f64)], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let rows = all.iter().map(|(launch, seconds)| {
            let (kernel, groups) = (launch.kernel.name(), launch.groups);
            let (operations, ms) = (launch.operations, 1e3 * seconds);
            json!({ "launch": launch.what, "kernel": kernel, "groups": groups, "operations": operations, "ms": ms })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let [launch, kernel, groups, ms, rate] = ["launch", "kernel", "groups", "ms", "GFLOP/s"];
    print(&format!("{launch:<37}{kernel:<18}{groups:>8}{ms:>10}{rate:>10}"))?;
    for (launch, seconds) in all {
        let rate = match launch.operations {
            0 => "-".to_owned(),
            operations => format!("{:.1}", operations as f64 / seconds / 1e9),
        };
        let (what, kernel, groups) = (&launch.what, launch.kernel.name(), launch.groups);
        print(&format!("{what:<37}{kernel:<18}{groups:>8}{:>10.4}{rate:>10}", 1e3 * seconds))?;
    }
    let total: f64 = all.iter().map(|(_, seconds)| seconds).sum();
    print(&format!("all, one after the other with a wait for each: {:.3} ms", 1e3 * total))
}

fn layer_row(measured: &LayerMeasurement) -> String {
    let LayerMeasurement { architecture, layer, input, output, kernel, peak, .. } = measured;
    let shape = |[height, width, channels]: [usize; 3]| format!("{height}x{width}x{channels}");
    let shapes = format!("{} -> {}", shape(*input), shape(*output));
    let speed = |gflops: f64| format!("{gflops:.1} ({:.0} %)", 100.0 * gflops / peak);
    let [forward, input, weight] =
        [measured.forward, measured.input_gradient, measured.weight_gradient].map(speed);
    let name = architecture.name();
    format!(
        "{name:<14}{layer:<26}{shapes:<24}{kernel:>6}{forward:>16}{input:>16}{weight:>16}\
         {peak:>14.1}"
    )
}

/// Obeys lines on stdin, for a program that lets several take turns: `run N` takes N steps, `peak`
/// measures the machine, `quit` ends. Every answer is one line of JSON.
fn serve(bench: &mut Bench) -> anyhow::Result<()> {
    let reply = |value: serde_json::Value| print(&value.to_string());
    reply(json!({
        "ready": true,
        "instruction_set": cpu::instruction_set()?,
        "threads": rayon::current_num_threads(),
        "version": env!("CARGO_PKG_VERSION"),
        "flops_per_step": bench.flops(),
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), words.get(1).and_then(|steps| steps.parse().ok())) {
            (["run", _], Some(steps)) => reply(json!({ "seconds": bench.run(steps)? }))?,
            (["peak"], _) => reply(json!({ "gflops": cpu::peak_gflops() }))?,
            (["quit"], _) => break,
            _ => bail!("expected `run N`, `peak` or `quit`, found {line:?}"),
        }
    }
    Ok(())
}
