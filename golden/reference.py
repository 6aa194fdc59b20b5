# SPDX-License-Identifier: MIT OR Apache-2.0
"""Networks and objectives in plain PyTorch, the reference for the Rust code.

A network is described by a `Plan`, which `plan()` derives from a JSON-like
`spec` dictionary (see README.md). `Vae(plan)` names its parameters exactly as
they are named in the files. Images are channels-last, [B, H, W, C].
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

class Conv(NamedTuple):
    """One convolution, or one transposed convolution."""

    filters: int
    kernel: int
    stride: int
    padding: int

    def shrink(self, size):
        """Size of one axis after the convolution."""
        return (size + 2 * self.padding - self.kernel) // self.stride + 1

    def output_padding(self, size, target):
        """What a transposed convolution lacks to bring `size` to `target`."""
        grown = (size - 1) * self.stride - 2 * self.padding + self.kernel
        missing = target - grown
        if not 0 <= missing < self.stride:
            raise ValueError(f"{self} cannot bring {size} to {target}")
        return missing


@dataclass(frozen=True)
class Plan:
    """Everything that determines a network."""

    image: tuple  # (H, W, C)
    latents: int
    convs: tuple = ()
    transposes: tuple = ()
    hidden: tuple = ()
    decoder_hidden: tuple = ()
    activation: str = "relu"
    decoder_activation: str = "relu"
    norm: bool = False
    project_activation: bool = True
    output_conv: bool = False  # a last 3x3 convolution, followed by tanh

    def sizes(self):
        """(H, W) before each convolution and after the last one."""
        sizes = [tuple(self.image[:2])]
        for conv in self.convs:
            sizes.append(tuple(conv.shrink(side) for side in sizes[-1]))
        return sizes

    def start_map(self):
        """(C, H, W) of the encoder's last map, where the decoder starts."""
        channels = self.convs[-1].filters if self.convs else self.image[2]
        return (channels, *self.sizes()[-1])


def plan(spec):
    """The plan of a spec.

    `widths`, `hidden` and `decoder_hidden` replace the full-size values of the
    named architectures where they are given and not empty.
    """
    architecture = spec["architecture"]
    height, width, channels = image = tuple(spec["image"])
    common = {"image": image, "latents": spec["latents"]}

    def sized(key, full_size):
        return tuple(spec.get(key) or full_size)

    def mirrored(widths):
        return (*reversed(widths[:-1]), channels)

    def layers(widths, kernel, padding):
        return tuple(Conv(width, kernel, 2, padding) for width in widths)

    if architecture == "higgins-fc":
        hidden = sized("hidden", (1200, 1200))
        return Plan(
            **common,
            hidden=hidden,
            decoder_hidden=sized("decoder_hidden", (*hidden, hidden[-1])),
            decoder_activation="tanh",
            project_activation=False,
        )

    if architecture == "pytorch-vae":
        widths = sized("widths", (32, 64, 128, 256, 512))
        return Plan(
            **common,
            convs=layers(widths, 3, 1),
            transposes=layers((*reversed(widths[:-1]), widths[0]), 3, 1),
            activation="leaky-relu",
            decoder_activation="leaky-relu",
            norm=True,
            project_activation=False,
            output_conv=True,
        )

    if architecture == "custom":
        widths = tuple(spec.get("widths") or ())
        hidden = tuple(spec.get("hidden") or ())
        kernel = spec["kernel"]
        padding = (kernel - 1) // 2
        return Plan(
            **common,
            convs=layers(widths, kernel, padding),
            transposes=layers(mirrored(widths), kernel, padding) if widths else (),
            hidden=hidden,
            decoder_hidden=sized("decoder_hidden", reversed(hidden)),
            activation=spec["activation"],
            decoder_activation=spec["activation"],
            norm={"none": False, "batch": True}[spec["norm"]],
            project_activation=bool(widths),
        )

    if architecture == "burgess":
        depth, side = 0, min(height, width)
        while side >= 8:
            depth, side = depth + 1, side // 2
        widths = sized("widths", (32,) * depth)
        hidden = sized("hidden", (256, 256))
        convs = layers(widths, 4, 1)
    elif architecture == "higgins-conv":
        widths = sized("widths", (32, 32, 64, 64))
        hidden = sized("hidden", (256,))
        convs = layers(widths, 4, 1)
    elif architecture == "locatello":
        widths = sized("widths", (32, 32, 64, 64))
        hidden = sized("hidden", (256,))
        convs = layers(widths[:2], 4, 1) + layers(widths[2:], 2, 0)
    else:
        raise ValueError(f"unknown architecture {architecture!r}")
    return Plan(
        **common,
        convs=convs,
        transposes=layers(mirrored(widths), 4, 1),
        hidden=hidden,
        decoder_hidden=sized("decoder_hidden", reversed(hidden)),
    )


def activation(name):
    return {
        "relu": nn.ReLU,
        "leaky-relu": lambda: nn.LeakyReLU(0.01),
        "tanh": nn.Tanh,
    }[name]()


def linear_stack(sizes):
    return nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))


def batch_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


class Encoder(nn.Module):
    def __init__(self, plan):
        super().__init__()
        self.conv, self.norm = nn.ModuleList(), nn.ModuleList()
        channels = plan.image[2]
        for filters, kernel, stride, padding in plan.convs:
            self.conv.append(nn.Conv2d(channels, filters, kernel, stride, padding))
            if plan.norm:
                self.norm.append(batch_norm(filters))
            channels = filters
        flat = channels * plan.sizes()[-1][0] * plan.sizes()[-1][1]
        sizes = (flat, *plan.hidden)
        self.hidden = linear_stack(sizes)
        self.mean = nn.Linear(sizes[-1], plan.latents)
        self.log_var = nn.Linear(sizes[-1], plan.latents)
        self.activation = activation(plan.activation)

    def forward(self, images):
        x = images.permute(0, 3, 1, 2)
        for i, conv in enumerate(self.conv):
            x = conv(x)
            if self.norm:
                x = self.norm[i](x)
            x = self.activation(x)
        x = x.flatten(1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.mean(x), self.log_var(x)


class Decoder(nn.Module):
    def __init__(self, plan):
        super().__init__()
        self.start_map = plan.start_map()
        self.project_activation = plan.project_activation
        channels, height, width = self.start_map
        sizes = (plan.latents, *plan.decoder_hidden)
        self.hidden = linear_stack(sizes)
        self.project = nn.Linear(sizes[-1], channels * height * width)
        self.conv_transpose, self.norm = nn.ModuleList(), nn.ModuleList()
        targets = plan.sizes()[-2::-1]
        for i, (layer, target) in enumerate(zip(plan.transposes, targets)):
            filters, kernel, stride, padding = layer
            missing = (
                layer.output_padding(height, target[0]),
                layer.output_padding(width, target[1]),
            )
            self.conv_transpose.append(
                nn.ConvTranspose2d(channels, filters, kernel, stride, padding, missing)
            )
            if plan.norm and (plan.output_conv or i + 1 < len(plan.transposes)):
                self.norm.append(batch_norm(filters))
            channels, (height, width) = filters, target
        self.output = (
            nn.Conv2d(channels, plan.image[2], 3, padding=1)
            if plan.output_conv
            else None
        )
        self.activation = activation(plan.decoder_activation)

    def forward(self, z):
        x = z
        for layer in self.hidden:
            x = self.activation(layer(x))
        x = self.project(x)
        if self.project_activation:
            x = self.activation(x)
        x = x.unflatten(1, self.start_map)
        for i, layer in enumerate(self.conv_transpose):
            x = layer(x)
            if self.output is None and i + 1 == len(self.conv_transpose):
                break
            if self.norm:
                x = self.norm[i](x)
            x = self.activation(x)
        if self.output is not None:
            x = torch.tanh(self.output(x))
        return x.permute(0, 2, 3, 1)


class Vae(nn.Module):
    def __init__(self, plan):
        super().__init__()
        self.encoder = Encoder(plan)
        self.decoder = Decoder(plan)

    def forward(self, images, noise):
        """mean, log_var, z and output; without noise, z is the mean."""
        mean, log_var = self.encoder(images)
        z = mean if noise is None else mean + torch.exp(log_var / 2) * noise
        return mean, log_var, z, self.decoder(z)

    def tensors(self):
        """Parameters and running statistics by name."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }

    def load_tensors(self, tensors):
        """Take every parameter and running statistic, no more and no less."""
        missing = self.tensors().keys() - tensors.keys()
        if missing:
            raise ValueError(f"missing: {sorted(missing)}")
        counters = {
            name: tensor
            for name, tensor in self.state_dict().items()
            if name.endswith("num_batches_tracked")
        }
        self.load_state_dict({**tensors, **counters})

    def trainable(self):
        return sum(parameter.numel() for parameter in self.parameters())

    def cancelled_biases(self):
        """Biases whose gradient is zero, as batch normalisation follows.

        Maps each to the name of its layer's weight.
        """
        names = {}
        for prefix, convs, norms in (
            ("encoder.conv", self.encoder.conv, self.encoder.norm),
            ("decoder.conv_transpose", self.decoder.conv_transpose, self.decoder.norm),
        ):
            for i, _ in zip(range(len(convs)), norms):
                names[f"{prefix}.{i}.bias"] = f"{prefix}.{i}.weight"
        return names


@dataclass(frozen=True)
class Objective:
    """A loss to minimise.

    kind "h": data term + beta * KL (Higgins et al., 2017);
    kind "b": data term + gamma * |KL - capacity| (Burgess et al., 2018).
    """

    kind: str
    beta: float
    gamma: float
    capacity: float
    likelihood: str  # "bernoulli" or "gaussian"
    sigma: float
    reduction: str  # "sum" or "mean"
    kl_weight: float  # used by the reduction "mean" only

    @classmethod
    def of(cls, spec):
        """From a JSON object; what the objective does not use may be absent."""
        values = {"beta": 1, "gamma": 1, "capacity": 0, "sigma": 1, "kl_weight": 1}
        given = {key: value for key, value in spec.items() if value is not None}
        names = {field.name for field in fields(cls)}
        return cls(**{k: v for k, v in {**values, **given}.items() if k in names})

    def __call__(self, images, output, mean, log_var):
        """total, reconstruction and kl (scalars), and kl_per_latent.

        The last three are nats per image, whatever the reduction.
        """
        per_latent = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
        per_latent = per_latent.mean(0)
        kl = per_latent.sum()

        if self.likelihood == "bernoulli":
            nats = errors = functional.binary_cross_entropy_with_logits(
                output, images, reduction="none"
            )
        elif self.likelihood == "gaussian":
            errors = (images - output).square()
            constant = math.log(self.sigma) + 0.5 * math.log(2 * math.pi)
            nats = 0.5 * errors / self.sigma**2 + constant
        else:
            raise ValueError(f"unknown likelihood {self.likelihood!r}")
        reconstruction = nats.flatten(1).sum(1).mean()

        if self.reduction == "sum":
            data, weight = reconstruction, 1.0
        elif self.reduction == "mean":
            data, weight = errors.mean(), self.kl_weight
        else:
            raise ValueError(f"unknown reduction {self.reduction!r}")

        if self.kind == "h":
            total = data + self.beta * weight * kl
        elif self.kind == "b":
            total = data + self.gamma * weight * (kl - self.capacity).abs()
        else:
            raise ValueError(f"unknown objective {self.kind!r}")
        return {
            "total": total,
            "reconstruction": reconstruction,
            "kl": kl,
            "kl_per_latent": per_latent,
        }
