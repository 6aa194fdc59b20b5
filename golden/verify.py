# SPDX-License-Identifier: MIT OR Apache-2.0
"""Check a dump written by the Rust side: python verify.py FILE.safetensors

Recomputes the forward pass, the losses and the gradients in float64 from the
parameters, images and noise in the dump, prints the relative difference of
every tensor, and exits with status 1 if any exceeds the tolerance or anything
is missing. See README.md for the format, the meaning of the difference, and
the treatment of ReLU's kink.
"""

import argparse
import json
import sys

import torch
from safetensors import safe_open
from torch import nn

from reference import Objective, Vae, plan

TOLERANCE = 1e-4

# Magnitude below which a difference counts as absolute, by tensor. A KL is
# the sum of terms near 1 that nearly cancel, hence its larger floor.
FLOOR = {"kl": 1e-2, "kl_per_latent": 1e-2}
SMALLEST = 1e-8
# A gradient's floor, relative to the largest gradient of any parameter.
GRADIENT_FLOOR = 1e-6

# A pre-activation may be on either side of a kink if its distance from it,
# relative to the root mean square of its layer, is at most KINK.
KINK = 1e-5
MOST_KINKS = 200


class Sides:
    """ReLU and leaky ReLU whose side of the kink can be exchanged by unit.

    A unit is (number of the activation in the forward pass, index in it).
    """

    def __init__(self, model):
        self.exchanged = set()
        self.calls = 0
        self.near = None  # while a list: (distance, unit) of units at a kink
        model.register_forward_pre_hook(self.restart)
        for part in model.encoder, model.decoder:
            slope = {nn.ReLU: 0.0, nn.LeakyReLU: 0.01}.get(type(part.activation))
            if slope is not None:
                part.activation = Kinked(self, slope)

    def restart(self, *_):
        self.calls = 0


class Kinked(nn.Module):
    def __init__(self, sides, slope):
        super().__init__()
        self.sides, self.slope = sides, slope

    def forward(self, x):
        sides, call = self.sides, self.sides.calls
        sides.calls += 1
        positive = (x.detach() > 0).contiguous()
        flat = positive.view(-1)
        for number, index in sides.exchanged:
            if number == call:
                flat[index] = ~flat[index]
        if sides.near is not None:
            distance = x.detach().reshape(-1).abs()
            distance = distance / distance.square().mean().sqrt()
            for index in (distance <= KINK).nonzero().flatten().tolist():
                sides.near.append((distance[index].item(), (call, index)))
        return torch.where(positive, x, self.slope * x)


class Reference:
    """The network, objective and inputs of a dump."""

    def __init__(self, spec, tensors):
        prefix = "param."
        self.model = Vae(plan(spec))
        self.model.load_tensors(
            {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
        )
        self.model.double().train()
        self.sides = Sides(self.model)
        self.objective = Objective.of(spec["objective"])
        self.images, self.noise = tensors["images"].double(), tensors["noise"].double()
        if list(self.images.shape[1:]) != list(spec["image"]):
            raise ValueError(f"images: {list(self.images.shape)}, not {spec['image']}")
        if list(self.noise.shape) != [len(self.images), spec["latents"]]:
            raise ValueError(f"noise: {list(self.noise.shape)}")

    def values(self):
        """Everything a dump holds, by name."""
        mean, log_var, z, output = self.model(self.images, self.noise)
        values = self.objective(self.images, output, mean, log_var)
        names, parameters = zip(*self.model.named_parameters())
        grads = torch.autograd.grad(values["total"], parameters)
        values = {"mean": mean, "log_var": log_var, "z": z, "output": output, **values}
        values |= {f"grad.{name}": grad for name, grad in zip(names, grads)}
        return {name: value.detach() for name, value in values.items()}

    def scales(self, values):
        """The magnitude that each value's difference is relative to."""
        sizes = {name: value.abs().max().item() for name, value in values.items()}
        grads = [size for name, size in sizes.items() if name.startswith("grad.")]
        floor = max(GRADIENT_FLOOR * max(grads), SMALLEST)
        scales = {}
        for name, size in sizes.items():
            is_grad = name.startswith("grad.")
            scales[name] = max(size, floor if is_grad else FLOOR.get(name, SMALLEST))
        # A bias whose gradient cancels is measured by its layer's weight.
        for bias, weight in self.model.cancelled_biases().items():
            scales[f"grad.{bias}"] = scales[f"grad.{weight}"]
        return scales

    def kinks(self):
        """Units at a kink, the nearest first."""
        self.sides.near = []
        with torch.no_grad():
            self.model(self.images, self.noise)
        near, self.sides.near = sorted(self.sides.near), None
        return [unit for _, unit in near]

    def choose_sides(self, units, tensors, values, scales, tolerance):
        """Exchange sides as long as it brings the gradients closer.

        At a kink either side gives a right gradient, up to rounding. Returns
        the values as soon as all are within the tolerance, else the closest.
        """
        best = distance(tensors, values, scales)
        for _ in range(3):
            before = best
            for unit in units:
                self.sides.exchanged ^= {unit}
                candidate = self.values()
                far = distance(tensors, candidate, scales)
                if far < best:
                    best, values = far, candidate
                    results = compare_all(tensors, values, scales)
                    if max(results.values()) <= tolerance:
                        return values
                else:
                    self.sides.exchanged ^= {unit}
            if best == before:
                break
        return values


def distance(tensors, values, scales):
    """Of all gradients, in units of their scales."""
    return sum(
        ((tensors[name].double() - value) / scales[name]).square().sum().item()
        for name, value in values.items()
        if name.startswith("grad.")
    )


def compare(actual, expected, scale):
    """Relative difference, or a word about what is wrong."""
    if actual is None:
        return "missing"
    if expected.dim() == 0:
        expected = expected.reshape(1)
        actual = actual.reshape(-1)
    if actual.shape != expected.shape:
        return f"shape {list(actual.shape)}, expected {list(expected.shape)}"
    if not actual.isfinite().all():
        return "not finite"
    return (actual.double() - expected).abs().max().item() / scale


def compare_all(tensors, values, scales):
    return {
        name: compare(tensors.get(name), value, scales[name])
        for name, value in values.items()
        if name != "z" or name in tensors  # z is optional
    }


def read(path):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "spec" not in metadata:
            raise ValueError("no metadata entry `spec`")
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return json.loads(metadata["spec"]), tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="dump to check")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument(
        "--fixed-kinks",
        action="store_true",
        help="do not try the other side for pre-activations at a kink",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def passes(result):
        return isinstance(result, float) and result <= arguments.tolerance

    try:
        spec, tensors = read(arguments.file)
        reference = Reference(spec, tensors)
        values = reference.values()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        sys.exit(f"{arguments.file}: {type(error).__name__}: {error}")
    scales = reference.scales(values)
    results = compare_all(tensors, values, scales)

    # Only if the gradients alone differ can a kink be the cause.
    failed = [name for name, result in results.items() if not passes(result)]
    if (
        failed
        and not arguments.fixed_kinks
        and all(isinstance(result, float) for result in results.values())
        and all(name.startswith("grad.") for name in failed)
    ):
        units = reference.kinks()[:MOST_KINKS]
        print(f"{len(failed)} gradients differ, {len(units)} units are at a kink")
        values = reference.choose_sides(
            units, tensors, values, scales, arguments.tolerance
        )
        print(f"{len(reference.sides.exchanged)} of them taken on the other side")
        results = compare_all(tensors, values, scales)

    failures = 0
    for name, result in results.items():
        failures += not passes(result)
        shown = f"{result:.2e}" if isinstance(result, float) else result
        print(f"{'ok  ' if passes(result) else 'FAIL'} {name:40} {shown}")
    for name in sorted(tensors.keys() - values.keys() - {"images", "noise"}):
        if not name.startswith("param."):
            print(f"?    {name:40} not checked")
    worst = max((r for r in results.values() if isinstance(r, float)), default=0.0)
    print(f"{failures} failed, largest relative difference {worst:.2e}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
