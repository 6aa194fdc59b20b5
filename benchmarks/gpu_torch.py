# SPDX-License-Identifier: MIT OR Apache-2.0
"""PyTorch's training steps on a CUDA device: one network and batch, several ways, a line of JSON each.

Images stay on the device, the layout is channels last, Adam is fused. `graph` is forward, backward and Adam, compiled, in one
CUDA graph. Without a CUDA device (for a dry run) only `eager` is measured, on the CPU.
"""

import argparse
import json
import statistics
import time

import torch

import models

ROUNDS = 7


def measure(step, steps, synchronize):
    """Median milliseconds of a step over rounds of many."""
    for _ in range(max(3, steps // 20)):
        step()
    synchronize()
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(max(1, steps // ROUNDS)):
            step()
        synchronize()
        rounds.append(1e3 * (time.perf_counter() - start) / max(1, steps // ROUNDS))
    return statistics.median(rounds)


def eager(model, images, device):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, fused=device == "cuda", capturable=device == "cuda")
    latents = model.encoder.mean.out_features

    def step(loss=model.loss):
        optimizer.zero_grad(set_to_none=True)
        loss(images, torch.randn(len(images), latents, device=device)).backward()
        optimizer.step()

    return step


def compiled(model, images, device):
    step, loss = eager(model, images, device), torch.compile(model.loss)
    return lambda: step(loss)


def graph(model, images, device):
    step = compiled(model, images, device)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(11):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        step()
    return captured.replay


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=models.ARCHITECTURES, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    synchronize = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    ways = [eager, compiled, graph] if device == "cuda" else [eager]
    torch.backends.cudnn.benchmark = True
    for tf32 in [False, True] if device == "cuda" else [False]:
        # cuDNN's is on by default and that of matrix products is off, so both are set.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        for way in ways:
            torch._dynamo.reset()
            torch.manual_seed(1)
            model = models.build(arguments.architecture).to(device, memory_format=torch.channels_last)
            height, width, channels = models.default_image(arguments.architecture)
            images = torch.rand(arguments.batch, channels, height, width, device=device)
            images = (images if model.bernoulli else 2 * images - 1).contiguous(memory_format=torch.channels_last)
            name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
            row = {"architecture": arguments.architecture, "batch": arguments.batch, "way": way.__name__, "tf32": tf32, "device": name}
            try:
                row["median_ms"] = round(measure(way(model, images, device), arguments.steps, synchronize), 4)
            except Exception as error:
                row["failed"] = str(error).splitlines()[0]
            print(json.dumps(row | {"torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
