//! `export`.

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::data::Layout;
use betavae::export::{self, Format, Part};

use super::{extension, unknown_format};
use crate::args::{Export, ExportFormat, ExportLayout, ExportPart};
use crate::output::say;

pub fn export(args: Export, device: &Device) -> anyhow::Result<()> {
    let format = match (args.format, extension(&args.output).as_str()) {
        (Some(format), _) => format,
        (None, "safetensors") => ExportFormat::Safetensors,
        (None, "onnx") => ExportFormat::Onnx,
        (None, "bvae") => ExportFormat::Program,
        (None, _) => {
            return Err(unknown_format(&args.output, ".safetensors, .onnx or .bvae, or --format"));
        }
    };
    let trained = Trained::load(&args.model, device)?;
    let part = match args.part {
        ExportPart::Encoder => Part::Encoder,
        ExportPart::Decoder => Part::Decoder,
        ExportPart::Reconstruction => Part::Reconstruction,
    };
    let layout = match args.layout {
        ExportLayout::Nchw => Layout::Nchw,
        ExportLayout::Nhwc => Layout::Nhwc,
    };
    let (format, what) = match format {
        ExportFormat::Safetensors => (Format::Safetensors, "the model".to_owned()),
        ExportFormat::Program => (Format::Program, "the model as a program".to_owned()),
        ExportFormat::Onnx => {
            let (input, output) = match part {
                Part::Encoder => ("image", "mean, log_var"),
                Part::Decoder => ("z", "image"),
                Part::Reconstruction => ("image", "reconstruction, mean, log_var"),
            };
            (Format::Onnx(part, layout), format!("{input} -> {output}"))
        }
    };
    export::export(&trained, format, &args.output)?;
    say(&format!("wrote {what} to {}", args.output.display()));
    Ok(())
}
