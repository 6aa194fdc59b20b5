# SPDX-License-Identifier: MIT OR Apache-2.0
"""Long training of the Burgess network in PyTorch, and loss curves of several runs side by side.

It starts from the same weights and has the same images, objective and
optimiser, but its own random order and noise. So curves agree as those of two
seeds do, not to the byte; several seeds show how closely that is.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file

import models

TERMS = ("total", "reconstruction", "kl")


def read_images(path):
    """[N, C, H, W], bytes as they are stored; and what they are divided by."""
    with numpy.load(path) as arrays:
        key = next((key for key in ("imgs", "images") if key in arrays), None)
        if key is None:
            sys.exit(f"{path}: expected an array `imgs` or `images`, found {arrays.files}")
        images = torch.from_numpy(arrays[key])
    if images.ndim == 3:
        images = images[..., None]
    # Bytes stand for value / 255 unless none is above 1, as in betavae.
    scale = 255.0 if images.dtype == torch.uint8 and images.max() > 1 else 1.0
    return images.permute(0, 3, 1, 2).contiguous(), scale


def load_network(path, image):
    tensors = load_file(path)
    network = models.build("burgess", image, latents=len(tensors["encoder.mean.bias"]))
    network.load_state_dict(tensors)
    return network.to(memory_format=torch.channels_last)


def batches(count, batch):
    """Indices of batch after batch: every image once per epoch, short batches dropped."""
    while True:
        order = torch.randperm(count)
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]


def train(network, images, scale, options, seed):
    """Yields the step and the mean of each term over the steps since the last."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    latents = network.encoder.mean.out_features
    sums = dict.fromkeys(TERMS, 0.0)
    order = batches(len(images), options.batch)
    for step in range(1, options.steps + 1):
        batch = images[next(order)].float() / scale
        optimizer.zero_grad()
        reconstruction, kl = network.terms(batch, torch.randn(options.batch, latents))
        total = reconstruction + options.beta * kl
        total.backward()
        optimizer.step()
        for term, value in zip(TERMS, (total, reconstruction, kl)):
            sums[term] += value.item()
        if step % options.window == 0:
            yield step, {term: value / options.window for term, value in sums.items()}
            sums = dict.fromkeys(TERMS, 0.0)


def read_metrics(path, window):
    """{(step, term): mean over the window that ends at step} of one run."""
    rows = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["term"] in TERMS:
                step = int(row["step"])
                end = -(-step // window) * window
                rows.setdefault((end, row["term"]), {})[step] = float(row["value"])
    # A row is the mean over the steps since the one before, so windows must end with a row.
    whole = {key: list(values.values()) for key, values in rows.items() if key[0] in values}
    if not whole:
        sys.exit(f"{path}: no row ends a window of {window} steps; choose another --window")
    return {key: sum(values) / len(values) for key, values in whole.items()}


def compare(sides, window):
    """Prints mean, lowest and highest of each side's runs, window by window."""
    runs = {
        name: [read_metrics(path, window) for path in paths] for name, paths in sides.items()
    }
    every = [set(run) for side in runs.values() for run in side]
    shared = sorted(set.intersection(*every), key=lambda key: (key[0], TERMS.index(key[1])))
    if not shared:
        sys.exit(f"the runs have no window of {window} steps in common")
    columns = [column for name in runs for column in (name, f"{name}_min", f"{name}_max")]
    print(",".join(["step", "term", *columns]))
    for key in shared:
        row = []
        for side in runs.values():
            values = [run[key] for run in side]
            row += [sum(values) / len(values), min(values), max(values)]
        print(f"{key[0]},{key[1]}," + ",".join(f"{value:.3f}" for value in row))


def side(text):
    name, _, paths = text.partition("=")
    if not name or not paths:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE[,FILE...], found {text!r}")
    return name, [Path(path) for path in paths.split(",")]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("train", help="train in PyTorch").add_argument
    add("--weights", type=Path, required=True, help="model.safetensors to start from")
    add("--images", type=Path, required=True, help=".npz of `betavae data export`")
    add("--steps", type=int, default=10000)
    add("--batch", type=int, default=64)
    add("--beta", type=float, default=models.BETA)
    add("--learning-rate", type=float, default=5e-4)
    add("--seeds", type=int, nargs="+", default=[1], help="one run for each")
    add("--window", type=int, default=100, help="steps that a row is the mean of")
    add("--output", type=Path, required=True, help="folder for torch-<seed>.csv")
    add = commands.add_parser("compare", help="curves side by side, as CSV").add_argument
    add("--window", type=int, default=1000, help="steps that a row is the mean of")
    add("sides", type=side, nargs="+", metavar="NAME=FILE[,FILE...]")
    return parser.parse_args()


def main():
    options = parse()
    if options.command == "compare":
        compare(dict(options.sides), options.window)
        return
    images, scale = read_images(options.images)
    _, channels, height, width = images.shape
    options.output.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        network = load_network(options.weights, (height, width, channels))
        with open(options.output / f"torch-{seed}.csv", "w") as file:
            file.write("step,term,value\n")
            for step, terms in train(network, images, scale, options, seed):
                for term, value in terms.items():
                    file.write(f"{step},{term},{value:.6f}\n")
                file.flush()


if __name__ == "__main__":
    main()
