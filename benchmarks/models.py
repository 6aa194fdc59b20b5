# SPDX-License-Identifier: MIT OR Apache-2.0
"""The benchmarked networks in PyTorch, as one would write them for speed.

Same layers and parameter names as golden/reference.py, but images are
[B, C, H, W], so that PyTorch's own memory formats apply, and losses are summed
in one call. test_benchmarks.py compares the two.
"""

import torch
from torch import nn
from torch.nn import functional

ARCHITECTURES = ("burgess", "pytorch-vae", "higgins-fc")
BETA = 4.0


class Encoder(nn.Module):
    """[B, C, H, W] to mean and log_var [B, D]."""

    def __init__(self, convs, norms, hidden, features, latents, activation):
        super().__init__()
        self.conv, self.norm = nn.ModuleList(convs), nn.ModuleList(norms)
        self.hidden = nn.ModuleList(hidden)
        self.mean = nn.Linear(features, latents)
        self.log_var = nn.Linear(features, latents)
        self.activation = activation

    def forward(self, x):
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
    """[B, D] to logits, or means of a Gaussian, [B, C, H, W]."""

    def __init__(self, hidden, project, start, transposes, norms, output, activation):
        super().__init__()
        self.hidden, self.project = nn.ModuleList(hidden), project
        self.start = start
        self.conv_transpose, self.norm = nn.ModuleList(transposes), nn.ModuleList(norms)
        self.output = output
        self.activation = activation

    def forward(self, x):
        for layer in self.hidden:
            x = self.activation(layer(x))
        x = self.project(x)
        # Before convolutions without batch norm, the projection is one more hidden layer.
        if self.conv_transpose and not self.norm:
            x = self.activation(x)
        x = x.unflatten(1, self.start)
        last = len(self.conv_transpose) - 1
        for i, layer in enumerate(self.conv_transpose):
            x = layer(x)
            if i == last and self.output is None:
                break
            if self.norm:
                x = self.norm[i](x)
            x = self.activation(x)
        return x if self.output is None else torch.tanh(self.output(x))


class Vae(nn.Module):
    def __init__(self, encoder, decoder, bernoulli):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.bernoulli = bernoulli

    def terms(self, images, noise):
        """Reconstruction (without a Gaussian's constant) and KL, nats per image."""
        mean, log_var = self.encoder(images)
        z = mean + torch.exp(log_var / 2) * noise
        # Under autocast the networks compute in bfloat16; the sums must not.
        output, mean, log_var = self.decoder(z).float(), mean.float(), log_var.float()
        if self.bernoulli:
            nats = functional.binary_cross_entropy_with_logits(output, images, reduction="sum")
        else:
            nats = 0.5 * functional.mse_loss(output, images, reduction="sum")
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
        return nats / len(images), kl / len(images)

    def loss(self, images, noise):
        reconstruction, kl = self.terms(images, noise)
        return reconstruction + BETA * kl


def default_image(architecture):
    """(H, W, C) that the benchmark uses."""
    return (64, 64, 3 if architecture == "pytorch-vae" else 1)


def default_latents(architecture):
    return 128 if architecture == "pytorch-vae" else 10


def build(architecture, image=None, latents=None):
    """The network for images (H, W, C); sides are multiples of 2 per convolution."""
    build = {"burgess": burgess, "pytorch-vae": pytorch_vae, "higgins-fc": higgins_fc}
    image = image or default_image(architecture)
    return build[architecture](image, latents or default_latents(architecture))


def linears(*sizes):
    return [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]


def burgess(image, latents):
    """Burgess et al. 2018, A.1."""
    height, width, channels = image
    # Halve until the smaller side is 4 to 7 pixels.
    depth = (min(height, width) // 4).bit_length() - 1
    widths = [channels] + depth * [32]
    start = (32, height >> depth, width >> depth)
    flat = start[0] * start[1] * start[2]
    encoder = Encoder(
        convs=[nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:])],
        norms=[],
        hidden=linears(flat, 256, 256),
        features=256,
        latents=latents,
        activation=nn.ReLU(),
    )
    widths.reverse()
    decoder = Decoder(
        hidden=linears(latents, 256, 256),
        project=nn.Linear(256, flat),
        start=start,
        transposes=[nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:])],
        norms=[],
        output=None,
        activation=nn.ReLU(),
    )
    return Vae(encoder, decoder, bernoulli=True)


def pytorch_vae(image, latents):
    """The reference network of the PyTorch-VAE collection."""
    height, width, channels = image
    widths = [32, 64, 128, 256, 512]
    start = (512, height >> 5, width >> 5)
    flat = start[0] * start[1] * start[2]
    encoder = Encoder(
        convs=[nn.Conv2d(a, b, 3, 2, 1) for a, b in zip([channels, *widths], widths)],
        norms=map(nn.BatchNorm2d, widths),
        hidden=[],
        features=flat,
        latents=latents,
        activation=nn.LeakyReLU(0.01),
    )
    # The first width comes twice: one more transposed convolution, then a plain one.
    widths = [*reversed(widths), widths[0]]
    decoder = Decoder(
        hidden=[],
        project=nn.Linear(latents, flat),
        start=start,
        transposes=[nn.ConvTranspose2d(a, b, 3, 2, 1, 1) for a, b in zip(widths, widths[1:])],
        norms=map(nn.BatchNorm2d, widths[1:]),
        output=nn.Conv2d(32, channels, 3, padding=1),
        activation=nn.LeakyReLU(0.01),
    )
    return Vae(encoder, decoder, bernoulli=False)


def higgins_fc(image, latents):
    """Higgins et al. 2017, Table 1, 2D shapes."""
    height, width, channels = image
    values = height * width * channels
    encoder = Encoder([], [], linears(values, 1200, 1200), 1200, latents, nn.ReLU())
    decoder = Decoder(
        hidden=linears(latents, 1200, 1200, 1200),
        project=nn.Linear(1200, values),
        start=(channels, height, width),
        transposes=[],
        norms=[],
        output=None,
        activation=nn.Tanh(),
    )
    return Vae(encoder, decoder, bernoulli=True)
