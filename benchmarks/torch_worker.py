# SPDX-License-Identifier: MIT OR Apache-2.0
"""PyTorch's side of the comparison: one network, one setting, one process.

It prints a line of JSON when it is ready and then obeys lines on stdin:
`run N` takes N steps and answers {"seconds": [...]}; `quit` ends.
`betavae bench --serve` speaks the same protocol.
"""

import argparse
import json
import os
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

import models
from variants import VARIANTS

WARM_UP_STEPS = 5


def training_step(model, images, variant):
    """A function that takes one optimiser step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, fused=variant.fused_adam)
    latents = model.encoder.mean.out_features
    loss = torch.compile(model.loss) if variant.compiled else model.loss

    def step():
        optimizer.zero_grad()
        noise = torch.randn(len(images), latents)
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            value = loss(images, noise)
        value.backward()
        optimizer.step()

    return step


def encoding_step(model, images, variant):
    """A function that computes mean and log_var of the batch."""
    model.eval()
    if variant.frozen:
        from torch._inductor import config

        config.freezing = True
    encoder = torch.compile(model.encoder) if variant.compiled else model.encoder
    # Compiled code starts sooner under no_grad, the rest under inference_mode.
    without_gradients = torch.no_grad if variant.compiled else torch.inference_mode

    def step():
        with without_gradients(), torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            return encoder(images)

    return step


def prepare(arguments):
    """The network and a batch of random images, in the variant's memory format."""
    variant = VARIANTS[arguments.variant]
    model = models.build(arguments.architecture)
    height, width, channels = models.default_image(arguments.architecture)
    images = torch.rand(arguments.batch, channels, height, width)
    if not model.bernoulli:
        images = 2 * images - 1
    if variant.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    return model, images, variant


def count_flops(step):
    """Floating-point operations of matrix products and convolutions in one step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def serve(step, ready):
    # Only replies go to stdout; what a library prints goes to stderr.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(value):
        print(json.dumps(value), file=replies, flush=True)

    reply(ready)
    for line in iter(sys.stdin.readline, ""):
        match line.split():
            case ["run", count]:
                seconds = []
                for _ in range(int(count)):
                    start = time.perf_counter()
                    step()
                    seconds.append(time.perf_counter() - start)
                reply({"seconds": seconds})
            case ["quit"]:
                return
            case _:
                sys.exit(f"expected `run N` or `quit`, found {line!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=models.ARCHITECTURES, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mode", choices=["train", "encode"], default="train")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, default="eager")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    prepared = prepare(arguments)
    make = training_step if arguments.mode == "train" else encoding_step
    step = make(*prepared)
    for _ in range(WARM_UP_STEPS):
        step()
    ready = {
        "ready": True,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "variant": arguments.variant,
        "instruction_set": torch.backends.cpu.get_cpu_capability().lower(),
    }
    if not prepared[2].compiled:
        # The counter sees operators, which compiled code no longer has.
        ready["flops_per_step"] = count_flops(step)
    serve(step, ready)


if __name__ == "__main__":
    main()
