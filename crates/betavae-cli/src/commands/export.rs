//! `export` and `import`.

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::data::Layout;
use betavae::export::{self, ExportFormat, OnnxGraph};
use betavae::files::extension_of;
use betavae::torch::{self, ImportOptions, PeerLayout};
use betavae::words::thousands;

use super::unknown_format;
use crate::args::{Export, ExportFormatArg, ExportLayout, ExportPart, Import, PeerLayoutArg};
use crate::output::say;

pub fn export(args: Export, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let format = match (args.format, extension_of(&args.output).as_str()) {
        (Some(format), _) => format,
        (None, "safetensors") => ExportFormatArg::Safetensors,
        (None, "onnx") => ExportFormatArg::Onnx,
        (None, "bvae") => ExportFormatArg::Program,
        (None, "pt" | "pth") => state_dict_of(&trained)?,
        (None, _) => {
            let known = ".safetensors, .onnx, .pt or .bvae, or --format";
            return Err(unknown_format(&args.output, known));
        }
    };
    let part = match args.part {
        ExportPart::Encoder => OnnxGraph::Encoder,
        ExportPart::Decoder => OnnxGraph::Decoder,
        ExportPart::Reconstruction => OnnxGraph::Reconstruction,
    };
    let layout = match args.layout {
        ExportLayout::Nchw => Layout::Nchw,
        ExportLayout::Nhwc => Layout::Nhwc,
    };
    let (format, what) = match format {
        ExportFormatArg::Safetensors => (ExportFormat::Safetensors, "the model".to_owned()),
        ExportFormatArg::DisentanglingVae => state_dict(PeerLayout::DisentanglingVae),
        ExportFormatArg::PytorchVae => {
            if trained.model.network().signed_images() {
                say("note: images of this network lie in [-1, 1]: give it 2x - 1");
            }
            state_dict(PeerLayout::PytorchVae)
        }
        ExportFormatArg::Program => (ExportFormat::Program, "the model as a program".to_owned()),
        ExportFormatArg::Onnx => {
            let (input, output) = match part {
                OnnxGraph::Encoder => ("image", "mean, log_var"),
                OnnxGraph::Decoder => ("z", "image"),
                OnnxGraph::Reconstruction => ("image", "reconstruction, mean, log_var"),
            };
            (ExportFormat::Onnx(part, layout), format!("{input} -> {output}"))
        }
    };
    export::export(&trained, format, &args.output)?;
    say(&format!("wrote {what} to {}", args.output.display()));
    Ok(())
}

fn state_dict(layout: PeerLayout) -> (ExportFormat, String) {
    (ExportFormat::StateDict(layout), format!("a state dict for {}", layout.name()))
}

/// The state dict that a network can be written as.
fn state_dict_of(trained: &Trained) -> anyhow::Result<ExportFormatArg> {
    match PeerLayout::of(trained.description.model.architecture()) {
        Some(PeerLayout::DisentanglingVae) => Ok(ExportFormatArg::DisentanglingVae),
        Some(PeerLayout::PytorchVae) => Ok(ExportFormatArg::PytorchVae),
        None => Err(betavae::Error::Config {
            message: "no program is known whose state dicts have this network".into(),
            hint: "use .safetensors, whose names PyTorch understands, or .onnx".into(),
        }
        .into()),
    }
}

pub fn import(args: Import, device: &Device) -> anyhow::Result<()> {
    if extension_of(&args.output) != "safetensors" {
        return Err(unknown_format(&args.output, ".safetensors"));
    }
    let layout = args.layout.map(|layout| match layout {
        PeerLayoutArg::DisentanglingVae => PeerLayout::DisentanglingVae,
        PeerLayoutArg::PytorchVae => PeerLayout::PytorchVae,
    });
    let options = ImportOptions { layout, prefix: args.prefix, changes: args.set };
    let imported = torch::import(&args.input, &options, device)?;
    let model = &imported.trained.model;
    say(&format!(
        "a model of {}: images {}, {} latents, {} parameters",
        imported.layout.name(),
        model.network().image,
        model.latents(),
        thousands(model.parameter_count()),
    ));
    for line in &imported.assumptions {
        say(&format!("note: {line}"));
    }
    export::export(&imported.trained, ExportFormat::Safetensors, &args.output)?;
    say(&format!("wrote the model to {}", args.output.display()));
    Ok(())
}
