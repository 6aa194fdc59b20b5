# SPDX-License-Identifier: MIT OR Apache-2.0
"""Long training of the Burgess network in PyTorch, and loss curves of several runs side by side.

It starts from the same weights and has the same images, objective and
optimiser, but its own random order and noise. So curves agree as those of two
seeds do, not to the byte; several seeds show how closely that is.
"""

import argparse
import csv
import math
import sys
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional
from safetensors.torch import load_file

import models

TERMS = ("total", "reconstruction", "kl", "total_correlation")


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


def encoded(network, images):
    """Mean, log-variance and a sample."""
    mean, log_var = network.encoder(images)
    return mean, log_var, mean + torch.exp(log_var / 2) * torch.randn_like(mean)


def reconstruction_and_kl(network, images, mean, log_var, z):
    """In nats per image."""
    logits = network.decoder(z)
    nll = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
    return nll / len(images), kl / len(images)


class LossH:
    """Higgins et al. 2017."""

    def __init__(self, beta):
        self.beta = beta

    def __call__(self, network, images, second):
        codes = encoded(network, images)
        reconstruction, kl = reconstruction_and_kl(network, images, *codes)
        total = reconstruction + self.beta * kl
        return {"total": total, "reconstruction": reconstruction, "kl": kl}

    def after(self):
        pass


def log_normal(x, mean, log_var):
    return -0.5 * ((x - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi))


class BetaTcvae:
    """Chen et al. 2018, with minibatch-weighted estimates; alpha = gamma = 1."""

    def __init__(self, beta, count):
        self.beta, self.count = beta, count

    def __call__(self, network, images, second):
        mean, log_var, z = encoded(network, images)
        reconstruction, kl = reconstruction_and_kl(network, images, mean, log_var, z)
        pairs = log_normal(z[:, None], mean[None], log_var[None])  # [B, B, D]
        constant = math.log(self.count * len(images))
        joint = torch.logsumexp(pairs.sum(2), 1) - constant
        marginals = (torch.logsumexp(pairs, 1) - constant).sum(1)
        own = log_normal(z, mean, log_var).sum(1)
        prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        correlation = (joint - marginals).mean()
        total = reconstruction + (own - joint + marginals - prior).mean() + self.beta * correlation
        terms = {"total": total, "reconstruction": reconstruction, "kl": kl}
        return terms | {"total_correlation": correlation}

    def after(self):
        pass


class FactorVae:
    """Kim and Mnih 2018, Algorithm 2: permuted codes come from a second batch."""

    def __init__(self, gamma, latents):
        self.gamma = gamma
        sizes = [latents] + [1000] * 6
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.discriminator = nn.Sequential(*layers, nn.Linear(1000, 2))
        self.adam = torch.optim.Adam(self.discriminator.parameters(), 1e-4, (0.5, 0.9), fused=True)

    def __call__(self, network, images, second):
        mean, log_var, z = encoded(network, images)
        reconstruction, kl = reconstruction_and_kl(network, images, mean, log_var, z)
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(z)
        self.discriminator.requires_grad_(True)
        correlation = (logits[:, 0] - logits[:, 1]).mean()
        with torch.no_grad():
            other = encoded(network, second)[2]
            permuted = torch.stack([column[torch.randperm(len(column))] for column in other.T], 1)
            self.codes = torch.cat([z, permuted])
        terms = {"total": reconstruction + kl + self.gamma * correlation}
        return terms | {"reconstruction": reconstruction, "kl": kl, "total_correlation": correlation}

    def after(self):
        target = torch.arange(2).repeat_interleave(len(self.codes) // 2)
        loss = functional.cross_entropy(self.discriminator(self.codes), target)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


def objective_of(options, count, latents):
    return {
        "h": lambda: LossH(options.beta),
        "beta-tcvae": lambda: BetaTcvae(options.beta, count),
        "factor-vae": lambda: FactorVae(options.gamma, latents),
    }[options.objective]()


def train(network, images, scale, options, seed):
    """Yields the step and the mean of each term over the steps since the last."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    objective = objective_of(options, len(images), network.encoder.mean.out_features)
    sums = {}
    orders = [batches(len(images), options.batch) for _ in range(2)]
    for step in range(1, options.steps + 1):
        batch, second = (images[next(order)].float() / scale for order in orders)
        optimizer.zero_grad()
        terms = objective(network, batch, second)
        terms["total"].backward()
        optimizer.step()
        objective.after()
        for term, value in terms.items():
            sums[term] = sums.get(term, 0.0) + value.item()
        if step % options.window == 0:
            yield step, {term: value / options.window for term, value in sums.items()}
            sums = {}


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
    add("--objective", choices=("h", "beta-tcvae", "factor-vae"), default="h")
    add("--beta", type=float, default=models.BETA)
    add("--gamma", type=float, default=35.0, help="of factor-vae")
    add("--threads", type=int)
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
    if options.threads:
        torch.set_num_threads(options.threads)
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
