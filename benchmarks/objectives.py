# SPDX-License-Identifier: MIT OR Apache-2.0
"""The time of a training step of each objective beside PyTorch's of the same thing.

Both sides take turns, a few steps at a time, on the same number of threads; ratios are taken within a turn. The network is
the one of Burgess et al. 2018 on 64x64x1 images in memory, Bernoulli likelihood, Adam; FactorVAE has its discriminator of
six layers of 1000 and a second batch on both sides. PyTorch runs eagerly, in channels-last format.

    python objectives.py --betavae ../target/release/betavae
"""

import argparse
import json
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional

import models


def log_normal(x, mean, log_var):
    return -0.5 * ((x - mean).square() * torch.exp(-log_var) + log_var + 1.8378770664093453)


class Step:
    """A step of PyTorch."""

    def __init__(self, objective, batch):
        torch.manual_seed(1)
        self.objective, self.batch = objective, batch
        self.model = models.build("burgess").to(memory_format=torch.channels_last)
        self.adam = torch.optim.Adam(self.model.parameters(), 5e-4)
        image = torch.rand(batch, 1, 64, 64)
        self.images = [image.contiguous(memory_format=torch.channels_last) for _ in range(2)]
        if objective == "factor-vae":
            sizes = [10] + [1000] * 6
            layers = []
            for a, b in zip(sizes, sizes[1:]):
                layers += [nn.Linear(a, b), nn.LeakyReLU(0.2, inplace=True)]
            self.discriminator = nn.Sequential(*layers, nn.Linear(1000, 2))
            self.adam_d = torch.optim.Adam(self.discriminator.parameters(), 1e-4, (0.5, 0.9))

    def encoded(self, images):
        mean, log_var = self.model.encoder(images)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return mean, log_var, z

    def __call__(self):
        mean, log_var, z = self.encoded(self.images[0])
        output = self.model.decoder(z)
        nll = functional.binary_cross_entropy_with_logits(output, self.images[0], reduction="sum")
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
        loss = nll / self.batch
        if self.objective == "h":
            loss = loss + 4 * kl / self.batch
        elif self.objective == "beta-tcvae":
            pairs = log_normal(z[:, None], mean[None], log_var[None])
            constant = torch.log(torch.tensor(float(self.batch * 737280)))
            joint = torch.logsumexp(pairs.sum(2), 1) - constant
            marginals = (torch.logsumexp(pairs, 1) - constant).sum(1)
            own = log_normal(z, mean, log_var).sum(1)
            zero = torch.zeros_like(z)
            prior = log_normal(z, zero, zero).sum(1)
            loss = loss + ((own - joint) + 6 * (joint - marginals) + (marginals - prior)).mean()
        elif self.objective == "factor-vae":
            self.discriminator.requires_grad_(False)
            logits = self.discriminator(z)
            loss = loss + kl / self.batch + 35 * (logits[:, 0] - logits[:, 1]).mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        if self.objective == "factor-vae":
            with torch.no_grad():
                other = self.encoded(self.images[1])[2]
                columns = [c[torch.randperm(self.batch)] for c in other.T]
                codes = torch.cat([z.detach(), torch.stack(columns, 1)])
            target = torch.arange(2).repeat_interleave(self.batch)
            self.discriminator.requires_grad_(True)
            loss = functional.cross_entropy(self.discriminator(codes), target)
            self.adam_d.zero_grad(set_to_none=True)
            loss.backward()
            self.adam_d.step()
        self.adam.step()


def seconds(step, count):
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--betavae", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="*", default=[64])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| objective | batch | threads | betavae ms | PyTorch ms | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for objective in ("h", "beta-tcvae", "factor-vae"):
        for batch in arguments.batches:
            step = Step(objective, batch)
            seconds(step, 3)
            ours, theirs = [], []
            for _ in range(arguments.turns):
                command = [arguments.betavae, "bench", "--objective", objective, "--batch", batch]
                command += ["--threads", arguments.threads, "--steps", 12, "--json"]
                found = subprocess.run([str(word) for word in command], capture_output=True, check=True)
                ours.append(json.loads(found.stdout)["median_ms"])
                theirs.append(1000 * seconds(step, 8))
            ratio = statistics.median(b / a for a, b in zip(ours, theirs))
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            line = f"| {objective} | {batch} | {arguments.threads} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
