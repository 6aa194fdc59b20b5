# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exported models against the binary's own results.

Trains every preset network for a few steps on random images (odd sizes among them), exports it and
compares with `betavae encode` and `betavae decode`: ONNX with onnx.checker and ONNX Runtime in batches of
1, 3 and 9 images in both layouts; if PyTorch is there, safetensors with load_in_pytorch.py, and state dicts
with the networks of crates/betavae/fixtures/weights/peers.py.

    python golden/verify_exports.py target/release/betavae
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

PRESETS = {
    "burgess": ([64, 64, 1], []),
    "burgess-odd": ([37, 50, 3], ["model.architecture=burgess"]),
    "higgins-fc": ([64, 64, 1], ["model.architecture=higgins-fc"]),
    "higgins-conv": ([64, 64, 3], ["model.architecture=higgins-conv"]),
    "locatello": ([64, 64, 3], ["model.architecture=locatello"]),
    "pytorch-vae": ([64, 64, 3], ["model.architecture=pytorch-vae"]),
    "pytorch-vae-odd": ([45, 33, 1], ["model.architecture=pytorch-vae"]),
    "custom": (
        [31, 40, 2],
        ["model.architecture=custom", "model.widths=[5,9]", "model.kernel=5", "model.norm=batch", "model.activation=tanh"],
    ),
}


def check(binary, folder, name, shape, changes):
    def betavae(*arguments):
        subprocess.run([binary, *map(str, arguments)], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    images = np.random.default_rng(1).integers(0, 256, [9, *shape], dtype=np.uint8)
    np.savez(folder / "images.npz", imgs=images)
    settings = [part for change in ["train.batch=9", *changes] for part in ("--set", change)]
    betavae("train", "--steps", 5, "--out", name, "--data", "images.npz", *settings)
    betavae("encode", name, "--input", "images.npz", "--output", "codes.npz")
    betavae("decode", name, "--input", "codes.npz", "--output", "decoded.npz")
    codes, decoded = np.load(folder / "codes.npz"), np.load(folder / "decoded.npz")["images"]
    pixels = images.astype(np.float32) / 255
    worst = 0
    for layout in ["nchw", "nhwc"]:
        turn = (lambda x: x.transpose(0, 3, 1, 2)) if layout == "nchw" else (lambda x: x)
        image = {"image": turn(decoded)}
        latents = {"mean": codes["mean"], "log_var": codes["log_var"]}
        for part, given, expected in [
            ("encoder", {"image": turn(pixels)}, latents),
            ("decoder", {"z": codes["mean"]}, image),
            ("reconstruction", {"image": turn(pixels)}, {"reconstruction": turn(decoded), **latents}),
        ]:
            path = folder / "model.onnx"
            betavae("export", name, "--output", path, "--part", part, "--layout", layout)
            onnx.checker.check_model(onnx.load(path), full_check=True)
            session = onnxruntime.InferenceSession(path)
            assert [output.name for output in session.get_outputs()] == list(expected), part
            for batch in [1, 3, 9]:
                found = session.run(None, {key: value[:batch] for key, value in given.items()})
                for values, wanted in zip(found, expected.values()):
                    assert values.shape == wanted[:batch].shape, (part, values.shape)
                    worst = max(worst, np.abs(values - wanted[:batch]).max() / max(1, np.abs(wanted).max()))
    assert worst < 1e-5, f"{name}: {worst}"
    size = path.stat().st_size
    print(f"{name:<18}{'x'.join(map(str, shape)):<10}ONNX within {worst:.1e}, {size / 1e6:.1f} MB", flush=True)
    if name in ("burgess", "pytorch-vae"):
        torch_check(folder, betavae, name, pixels, codes, decoded)


def torch_check(folder, betavae, name, pixels, codes, decoded):
    try:
        import torch
    except ImportError:
        print("PyTorch is not there: safetensors and state dicts not checked")
        return
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parent / "crates/betavae/fixtures/weights")]
    from load_in_pytorch import load
    from peers import Collection, Disentangling

    betavae("export", name, "--output", "model.safetensors")
    betavae("export", name, "--output", "model.pt")
    state = torch.load(folder / "model.pt", weights_only=True)
    channels, latents = pixels.shape[-1], codes["mean"].shape[1]
    signed = name == "pytorch-vae"
    peer = Collection(channels, [32, 64, 128, 256, 512], latents) if signed else Disentangling(channels, 64, latents)
    peer.load_state_dict(state)  # strict
    models = {"state dict": peer.eval()}
    if not signed:
        models["safetensors"] = load(folder / "model.safetensors")
    for kind, model in models.items():
        with torch.no_grad():
            images = torch.from_numpy(pixels.transpose(0, 3, 1, 2))
            mean, log_var = model.encode(2 * images - 1 if signed else images)
            image = model.decode(mean).numpy().transpose(0, 2, 3, 1)
            image = image / 2 + 0.5 if signed else image
        pairs = [(mean.numpy(), codes["mean"]), (log_var.numpy(), codes["log_var"]), (image, decoded)]
        worst = max(np.abs(found - wanted).max() / max(1, np.abs(wanted).max()) for found, wanted in pairs)
        assert worst < 1e-5, worst
        print(f"{name:<28}PyTorch from {kind} within {worst:.1e}", flush=True)


def main():
    binary = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        for name, (shape, changes) in PRESETS.items():
            check(binary, Path(folder), name, shape, changes)


if __name__ == "__main__":
    main()
