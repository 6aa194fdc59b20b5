# SPDX-License-Identifier: MIT OR Apache-2.0
"""Write the fixtures (*.safetensors) and SHA256SUMS next to this file.

Weights, images and noise are float32 numbers; everything computed from them
is computed in float64 on one CPU thread and rounded to float32 at the end, so
that the results do not depend on an order of summation.
"""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from family import family_fixture
from reference import Objective, Vae, plan

HERE = Path(__file__).resolve().parent

OBJECTIVE = {
    "beta": 4.0,
    "gamma": 10.0,
    "capacity": 1.5,
    "sigma": 0.7,
    "kl_weight": 0.00025 * 16,
}

# Narrow variants of the networks: name -> (spec, batch size, seed). The seeds
# were chosen so that no gradient vanishes, no pre-activation lies at a kink,
# and the KL lies below the capacity in some networks and above it in others.
NETWORKS = {
    "burgess": (
        {"image": [32, 32, 1], "latents": 3, "widths": [4, 4, 4], "hidden": [8, 8]},
        4,
        161,
    ),
    "higgins-fc": (
        {"image": [8, 8, 1], "latents": 3, "widths": [], "hidden": [12, 12]},
        4,
        14,
    ),
    "higgins-conv": (
        {"image": [32, 16, 3], "latents": 4, "widths": [2, 2, 4, 4], "hidden": [8]},
        4,
        254,
    ),
    "locatello": (
        {"image": [16, 32, 1], "latents": 4, "widths": [2, 2, 4, 4], "hidden": [8]},
        4,
        29,
    ),
    "pytorch-vae": (
        {"image": [24, 20, 3], "latents": 4, "widths": [4, 4, 6, 6, 8], "hidden": []},
        6,
        296,
    ),
    "custom": (
        {
            "image": [13, 10, 2],
            "latents": 3,
            "widths": [3, 5],
            "hidden": [7],
            "kernel": 5,
            "activation": "leaky-relu",
            "norm": "batch",
        },
        6,
        280,
    ),
}

STEPS = 10

# Full-size networks whose trainable parameters are counted.
COUNTED = (
    ("burgess", [64, 64, 1], 10),
    ("burgess", [64, 64, 3], 10),
    ("burgess", [32, 32, 1], 10),
    ("pytorch-vae", [64, 64, 3], 128),
    ("higgins-fc", [64, 64, 1], 10),
    ("higgins-conv", [64, 64, 1], 32),
    ("locatello", [64, 64, 1], 10),
)


def network_spec(name):
    values, batch, seed = NETWORKS[name]
    spec = {"architecture": name, **values, "batch": batch, "seed": seed}
    spec["decoder_hidden"] = list(plan(spec).decoder_hidden)
    return spec


def uniform(low, high, *shape):
    """float32 numbers, the same on every machine as the arithmetic is float64."""
    return (low + (high - low) * torch.rand(*shape).double()).float()


def bell(*shape):
    """Nearly normal noise from additions only, for the same reason."""
    return torch.rand(12, *shape).double().sum(0).sub(6).float()


def initial_model(spec):
    """A float32 network whose every part matters to the result.

    Weights are 1.5 times PyTorch's defaults; biases are larger still.
    """
    model = Vae(plan(spec))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(0.5, 1.5, module.num_features))
                module.bias.copy_(uniform(-0.4, 0.4, module.num_features))
                module.running_mean.copy_(uniform(-0.5, 0.5, module.num_features))
                module.running_var.copy_(uniform(0.5, 1.5, module.num_features))
            elif hasattr(module, "weight"):
                bound = 1.5 / math.sqrt(module.weight[0].numel())
                module.weight.copy_(uniform(-bound, bound, *module.weight.shape))
                bound += 0.2
                module.bias.copy_(uniform(-bound, bound, module.bias.numel()))
    return model


def initial(spec, *repeat):
    """Network, images and noise, all float32, determined by the spec's seed."""
    torch.manual_seed(spec["seed"])
    model = initial_model(spec)
    shape = (*repeat, spec["batch"], *spec["image"])
    images = uniform(-0.2, 1.2, *shape).clamp(0, 1)  # two in seven are 0 or 1
    if spec["architecture"] == "pytorch-vae":
        images = images * 2 - 1
    noise = bell(*repeat, spec["batch"], spec["latents"])
    return model, images, noise


class Kinks:
    """The smallest distance of any pre-activation from ReLU's kink."""

    def __init__(self, model):
        self.distance = float("inf")
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.LeakyReLU)):
                module.register_forward_pre_hook(self.look)

    def look(self, _, inputs):
        self.distance = min(self.distance, inputs[0].abs().min().item())


def require(condition, message):
    if not condition:
        raise SystemExit(f"unsuitable fixture, choose another seed: {message}")


def gradients(model, total):
    """Gradients by name, with those that cancel exactly written as zero."""
    names, parameters = zip(*model.named_parameters())
    grads = dict(zip(names, torch.autograd.grad(total, parameters)))
    for bias, weight in model.cancelled_biases().items():
        require(
            grads[bias].abs().max() < 1e-10 * grads[weight].abs().max(),
            f"{bias} does not cancel",
        )
        grads[bias] = torch.zeros_like(grads[bias])
    return grads


def network_fixture(name, dtype=torch.float64):
    """Forward pass, losses and gradients of one network."""
    spec = network_spec(name)
    model, images, noise = initial(spec)
    tensors = {f"param.{k}": v.clone() for k, v in model.tensors().items()}
    tensors |= {"images": images, "noise": noise}

    model.to(dtype)
    kinks = Kinks(model)
    images, noise = images.to(dtype), noise.to(dtype)
    mean, log_var, z, output = model(images, noise)
    tensors |= {"mean": mean, "log_var": log_var, "z": z, "output": output}
    require(kinks.distance > 1e-5, f"{name}: kink at {kinks.distance:.1e}")

    likelihoods = ["bernoulli", "gaussian"][name == "pytorch-vae" :]
    cases = []
    for kind in "h", "b":
        for likelihood in likelihoods:
            for reduction in "sum", "mean":
                case = f"{kind}_{likelihood}_{reduction}"
                cases.append(case)
                objective = Objective.of(
                    OBJECTIVE
                    | {"kind": kind, "likelihood": likelihood, "reduction": reduction}
                )
                # A pass of its own, as autograd frees the graph.
                mean, log_var, _, output = model(images, noise)
                values = objective(images, output, mean, log_var)
                grads = gradients(model, values["total"])
                tensors |= {f"{case}.{k}": v for k, v in values.items()}
                tensors |= {f"{case}.grad.{k}": v for k, v in grads.items()}
                distance = abs(values["kl"].item() - objective.capacity)
                require(distance > 0.05, f"{name}: KL is {distance} from C")
                for key, grad in grads.items():
                    if key not in model.cancelled_biases():
                        size = grad.abs().max().item()
                        require(size > 1e-7, f"{name}: {key} has gradient {size:.1e}")
    spec |= {"objective": OBJECTIVE, "cases": cases}
    return tensors, spec


def steps_fixture(
    name, batch, optimizer, objective, capacity=None, dtype=torch.float64
):
    """Ten steps of training."""
    spec = network_spec(name) | {"batch": batch}
    model, images, noise = initial(spec, STEPS)
    tensors = {f"param.{k}": v.clone() for k, v in model.tensors().items()}
    tensors |= {"images": images, "noise": noise}

    model.to(dtype)
    kinks = Kinks(model)
    images, noise = images.to(dtype), noise.to(dtype)
    options = {k: v for k, v in optimizer.items() if k != "kind"}
    update = getattr(torch.optim, optimizer["kind"])(
        model.parameters(), foreach=False, **options
    )
    losses, capacities = [], []
    for t in range(1, STEPS + 1):
        current = Objective.of(objective)
        if capacity is not None:
            ramp = capacity["c_max"] * t / capacity["c_steps"]
            ramp = min(max(ramp, capacity["c_min"]), capacity["c_max"])
            capacities.append(ramp)
            current = replace(current, capacity=ramp)
        mean, log_var, _, output = model(images[t - 1], noise[t - 1])
        values = current(images[t - 1], output, mean, log_var)
        if capacity is not None:
            distance = abs(values["kl"].item() - ramp)
            require(distance > 0.05, f"{name}: KL is {distance} from C")
        update.zero_grad()
        values["total"].backward()
        update.step()
        losses.append(values["total"].detach())
    require(kinks.distance > 1e-6, f"{name}: kink at {kinks.distance:.1e}")
    tensors["losses"] = torch.stack(losses)
    tensors |= {f"final.{k}": v.clone() for k, v in model.tensors().items()}
    spec |= {"objective": objective, "optimizer": optimizer, "steps": STEPS}
    if capacity is not None:
        tensors["capacities"] = torch.tensor(capacities)
        spec["capacity"] = capacity
    if model.encoder.norm:
        model.eval()
        with torch.no_grad():
            mean, _, _, output = model(images[0], None)
        tensors |= {"eval.mean": mean, "eval.output": output}
    return tensors, spec


def steps_adam(dtype=torch.float64):
    return steps_fixture(
        "burgess",
        2,
        {"kind": "Adam", "lr": 5e-3, "betas": [0.9, 0.999], "eps": 1e-8},
        {"kind": "h", "beta": 4.0, "likelihood": "bernoulli", "reduction": "sum"},
        dtype=dtype,
    )


def steps_adagrad(dtype=torch.float64):
    return steps_fixture(
        "higgins-fc",
        4,
        {"kind": "Adagrad", "lr": 1e-2, "eps": 1e-10},
        {"kind": "b", "gamma": 10.0, "likelihood": "bernoulli", "reduction": "sum"},
        capacity={"c_min": 0.5, "c_max": 5.0, "c_steps": 8},
        dtype=dtype,
    )


def steps_batch_norm(dtype=torch.float64):
    # With Adam's usual eps of 1e-8, rounding noise in the gradients that batch
    # normalisation cancels would become visible steps in float32.
    return steps_fixture(
        "pytorch-vae",
        4,
        {"kind": "Adam", "lr": 5e-3, "betas": [0.9, 0.999], "eps": 1e-3},
        {
            "kind": "h",
            "beta": 4.0,
            "likelihood": "gaussian",
            "reduction": "mean",
            "kl_weight": OBJECTIVE["kl_weight"],
        },
        dtype=dtype,
    )


def fixtures(dtype=torch.float64):
    """(name, tensors, spec) of every fixture."""
    for name in NETWORKS:
        yield name, *network_fixture(name, dtype)
    yield "steps-adam", *steps_adam(dtype)
    yield "steps-adagrad", *steps_adagrad(dtype)
    yield "steps-batch-norm", *steps_batch_norm(dtype)
    yield "family", *family_fixture(initial, uniform, bell, dtype)


def stored(tensor):
    """As float32, with at least one axis."""
    tensor = tensor.detach().to(torch.float32)
    return tensor.reshape(tensor.shape or (1,)).contiguous()


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    sums = []
    for name, tensors, spec in fixtures():
        path = HERE / f"{name}.safetensors"
        content = save(
            {key: stored(tensor) for key, tensor in tensors.items()},
            metadata={"spec": json.dumps(spec, sort_keys=True)},
        )
        path.write_bytes(content)
        sums.append((path.name, hashlib.sha256(content).hexdigest()))
        print(f"{path.name:28} {len(content):8} bytes, {len(tensors)} tensors")
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums)]
    (HERE / "SHA256SUMS").write_text("".join(lines))

    print("\ntrainable parameters")
    for architecture, image, latents in COUNTED:
        spec = {"architecture": architecture, "image": image, "latents": latents}
        size = "x".join(map(str, image))
        count = Vae(plan(spec)).trainable()
        print(f"{architecture:12} {size:8} latents {latents:3}: {count}")


if __name__ == "__main__":
    main()
