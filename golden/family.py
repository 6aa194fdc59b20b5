# SPDX-License-Identifier: MIT OR Apache-2.0
"""The siblings of the beta-VAE in plain PyTorch, straight from their papers' formulas, and their fixture.

`family.safetensors` has a small fully connected network, ten batches, and for each objective the loss, its terms and all
gradients of the first batch, and the losses of ten steps of Adam with the network after them. Everything is computed in
float64, as in generate.py, which writes this file too.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from reference import Vae, plan

N = 1000  # images of the data set that the batches are taken from
STEPS = 10
BATCH = 6
SPEC = {
    "architecture": "higgins-fc",
    "image": [6, 5, 1],
    "latents": 3,
    "hidden": [7, 7],
    "batch": BATCH,
    "seed": 77,
}
ADAM = {"lr": 5e-3, "betas": (0.9, 0.999), "eps": 1e-8}
DISCRIMINATOR = {"width": 5, "depth": 2, "lr": 1e-2, "betas": (0.5, 0.9)}

# How the Rust code permutes each latent over a batch of six, by step: its random numbers are its own.
PERMUTATIONS = [
    [[4, 3, 5, 2, 1, 0], [5, 4, 2, 3, 1, 0], [0, 1, 4, 5, 2, 3]],
    [[3, 2, 1, 0, 4, 5], [5, 4, 1, 3, 0, 2], [4, 0, 2, 3, 1, 5]],
    [[4, 2, 1, 0, 3, 5], [4, 5, 3, 0, 2, 1], [3, 2, 5, 4, 0, 1]],
    [[3, 2, 0, 1, 5, 4], [3, 4, 5, 0, 2, 1], [0, 5, 4, 3, 1, 2]],
    [[4, 1, 5, 0, 2, 3], [5, 0, 3, 1, 2, 4], [5, 3, 2, 4, 0, 1]],
    [[2, 0, 5, 1, 3, 4], [5, 2, 1, 4, 3, 0], [4, 0, 2, 5, 3, 1]],
    [[5, 0, 4, 2, 3, 1], [0, 4, 2, 3, 1, 5], [2, 4, 1, 5, 0, 3]],
    [[4, 3, 5, 0, 1, 2], [3, 4, 1, 0, 2, 5], [4, 3, 5, 1, 0, 2]],
    [[0, 4, 5, 3, 1, 2], [5, 4, 3, 1, 2, 0], [4, 3, 0, 1, 2, 5]],
    [[1, 0, 2, 3, 5, 4], [3, 0, 4, 5, 1, 2], [2, 3, 0, 1, 4, 5]],
]


def kl_per_latent(mean, log_var):
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean(0)


def log_normal(x, mean, log_var):
    """ln N(x; mean, exp(log_var)), element by element."""
    return -0.5 * ((x - mean).square() / log_var.exp() + log_var + math.log(2 * math.pi))


class BetaTcvae:
    """Chen et al. 2018, eq. 4, with the estimators of appendix C."""

    def __init__(self, alpha, beta, gamma, stratified):
        self.weights, self.stratified = (alpha, beta, gamma), stratified

    def log_importance(self):
        if not self.stratified:
            return torch.full((BATCH, BATCH), -math.log(N * BATCH)).double()
        m = BATCH - 1
        weights = torch.full((BATCH, BATCH), 1 / m).double()
        for i in range(BATCH):
            weights[i, i] = 1 / N
            weights[i, (i + 1) % BATCH] = (N - m) / (N * m)
        assert torch.allclose(weights.sum(1), torch.ones(BATCH).double())
        return weights.log()

    def __call__(self, mean, log_var, z, step):
        pairs = log_normal(z[:, None], mean[None], log_var[None])  # [B, B, D]
        importance = self.log_importance()
        joint = torch.logsumexp(pairs.sum(2) + importance, 1)
        marginals = torch.logsumexp(pairs + importance[:, :, None], 1).sum(1)
        own = log_normal(z, mean, log_var).sum(1)
        prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        terms = {
            "mutual_information": (own - joint).mean(),
            "total_correlation": (joint - marginals).mean(),
            "dimension_wise_kl": (marginals - prior).mean(),
        }
        return sum(w * t for w, t in zip(self.weights, terms.values())), terms


class DipVae:
    """Kumar et al. 2018, eq. 6 (I) and 7 (II)."""

    def __init__(self, lambda_od, lambda_d, second):
        self.lambda_od, self.lambda_d, self.second = lambda_od, lambda_d, second

    def __call__(self, mean, log_var, z, step):
        covariance = torch.cov(mean.T, correction=0)
        if self.second:
            covariance = covariance + torch.diag(log_var.exp().mean(0))
        diagonal = torch.diagonal(covariance)
        terms = {
            "covariance_off_diagonal": covariance.square().sum() - diagonal.square().sum(),
            "covariance_diagonal": (diagonal - 1).square().sum(),
        }
        penalty = self.lambda_od * terms["covariance_off_diagonal"]
        penalty = penalty + self.lambda_d * terms["covariance_diagonal"]
        return kl_per_latent(mean, log_var).sum() + penalty, terms


class ControlVae:
    """Shao et al. 2020, Algorithm 1."""

    def __init__(self, k_p, k_i, beta_min, beta_max, target):
        self.k_p, self.k_i, self.bounds, self.target = k_p, k_i, (beta_min, beta_max), target
        self.integral = 0.0

    def __call__(self, mean, log_var, z, step):
        kl = kl_per_latent(mean, log_var).sum()
        error = self.target - kl.item()
        integral = self.integral - self.k_i * error
        beta = self.k_p / (1 + math.exp(error)) + integral + self.bounds[0]
        if self.bounds[0] <= beta <= self.bounds[1]:
            self.integral = integral
        beta = min(max(beta, self.bounds[0]), self.bounds[1])
        return beta * kl, {}


class Discriminator(nn.Module):
    def __init__(self, latents, width, depth):
        super().__init__()
        sizes = [latents] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.output = nn.Linear(width, 2)

    def forward(self, z):
        for layer in self.hidden:
            z = functional.leaky_relu(layer(z), 0.2)
        return self.output(z)


class FactorVae:
    """Kim and Mnih 2018, Algorithm 2; both networks step from the same values."""

    def __init__(self, gamma, discriminator, model, images, noise):
        self.gamma, self.discriminator = gamma, discriminator
        self.model, self.images, self.noise = model, images, noise
        self.optimizer = torch.optim.Adam(
            discriminator.parameters(), DISCRIMINATOR["lr"], DISCRIMINATOR["betas"], foreach=False
        )

    def __call__(self, mean, log_var, z, step):
        logits = self.discriminator(z)
        terms = {"total_correlation": (logits[:, 0] - logits[:, 1]).mean()}
        with torch.no_grad():
            other = self.model(self.images[step - 1], self.noise[step - 1])[2]
            columns = zip(PERMUTATIONS[step - 1], other.T)
            permuted = torch.stack([column[order] for order, column in columns], 1)
        real = functional.cross_entropy(
            self.discriminator(z.detach()), torch.zeros(BATCH, dtype=torch.long)
        )
        fake = functional.cross_entropy(
            self.discriminator(permuted), torch.ones(BATCH, dtype=torch.long)
        )
        self.own_loss = 0.5 * (real + fake)
        terms["discriminator_loss"] = self.own_loss.detach()
        kl = kl_per_latent(mean, log_var).sum()
        return kl + self.gamma * terms["total_correlation"], terms


class Ada:
    """Locatello et al. 2020, section 4, on pairs of an image and the one at the same place of the second batch."""

    def __init__(self, beta, product, images, noise):
        self.beta, self.product, self.images, self.noise = beta, product, images, noise

    def pairs(self, model, images, noise, step):
        """Posteriors, samples and outputs of the pairs, first images first, and which latents are shared."""
        both = torch.cat([images, self.images[step - 1]])
        mean, log_var = model.encoder(both)
        q1, q2 = (
            torch.distributions.Normal(m, (s / 2).exp())
            for m, s in zip(mean.chunk(2), log_var.chunk(2))
        )
        with torch.no_grad():
            delta = torch.distributions.kl_divergence(q1, q2)
            midpoint = (delta.amax(1, keepdim=True) + delta.amin(1, keepdim=True)) / 2
        if self.product:
            precision = 1 / q1.variance + 1 / q2.variance
            average = (q1.mean / q1.variance + q2.mean / q2.variance) / precision
            variance = 2 / precision
        else:
            average, variance = (q1.mean + q2.mean) / 2, (q1.variance + q2.variance) / 2
        shared = torch.cat([delta < midpoint] * 2)
        mean = torch.where(shared, torch.cat([average] * 2), mean)
        log_var = torch.where(shared, torch.cat([variance.log()] * 2), log_var)
        z = mean + (log_var / 2).exp() * torch.cat([noise, self.noise[step - 1]])
        self.shared = shared.to(mean).sum(1).mean()
        return both, mean, log_var, z, model.decoder(z)

    def __call__(self, mean, log_var, z, step):
        return self.beta * kl_per_latent(mean, log_var).sum(), {"shared_latents": self.shared}


def total(objective, model, images, noise, step):
    if isinstance(objective, Ada):
        images, mean, log_var, z, output = objective.pairs(model, images, noise, step)
    else:
        mean, log_var, z, output = model(images, noise)
    nats = functional.binary_cross_entropy_with_logits(output, images, reduction="none")
    constraint, terms = objective(mean, log_var, z, step)
    return nats.flatten(1).sum(1).mean() + constraint, terms


def family_fixture(initial, uniform, bell, dtype=torch.float64):
    """Tensors and description of the fixture."""
    model, images, noise = initial(SPEC, STEPS)
    discriminator = Discriminator(SPEC["latents"], DISCRIMINATOR["width"], DISCRIMINATOR["depth"])
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.copy_(uniform(-0.6, 0.6, *parameter.shape))
    images2 = uniform(-0.2, 1.2, *images.shape).clamp(0, 1)
    noise2 = bell(*noise.shape)
    start = {f"param.{k}": v.clone() for k, v in model.tensors().items()}
    tensors = dict(start)
    for name, parameter in discriminator.named_parameters():
        tensors[f"discriminator.{name}"] = parameter.detach().clone()
    tensors |= {"images": images, "noise": noise, "images2": images2, "noise2": noise2}
    images, noise, images2, noise2 = (x.to(dtype) for x in (images, noise, images2, noise2))

    def fresh():
        fresh_model = Vae(plan(SPEC))
        fresh_model.load_tensors({k.removeprefix("param."): v for k, v in start.items()})
        return fresh_model.to(dtype)

    def objective(name, model):
        if name == "factor-vae":
            own = Discriminator(SPEC["latents"], DISCRIMINATOR["width"], DISCRIMINATOR["depth"])
            own.load_state_dict(discriminator.state_dict())
            return FactorVae(6.0, own.to(dtype), model, images2, noise2)
        return {
            "beta-tcvae-weighted": lambda: BetaTcvae(1.0, 6.0, 1.0, False),
            "beta-tcvae-stratified": lambda: BetaTcvae(0.5, 4.0, 2.0, True),
            "dip-vae-i": lambda: DipVae(10.0, 100.0, False),
            "dip-vae-ii": lambda: DipVae(10.0, 10.0, True),
            "control-vae": lambda: ControlVae(0.5, 0.1, 1.0, 100.0, 0.2),
            "ada-gvae": lambda: Ada(2.0, False, images2, noise2),
            "ada-ml-vae": lambda: Ada(2.0, True, images2, noise2),
        }[name]()

    cases = [
        "factor-vae",
        "beta-tcvae-weighted",
        "beta-tcvae-stratified",
        "dip-vae-i",
        "dip-vae-ii",
        "control-vae",
        "ada-gvae",
        "ada-ml-vae",
    ]
    for case in cases:
        model = fresh()
        loss = objective(case, model)
        value, terms = total(loss, model, images[0], noise[0], 1)
        tensors[f"{case}.total"] = value
        tensors |= {f"{case}.term.{k}": v for k, v in terms.items()}
        names, parameters = zip(*model.named_parameters())
        grads = torch.autograd.grad(value, parameters)
        tensors |= {f"{case}.grad.{k}": g for k, g in zip(names, grads)}
        if case == "factor-vae":
            names, parameters = zip(*loss.discriminator.named_parameters())
            grads = torch.autograd.grad(loss.own_loss, parameters)
            tensors |= {f"{case}.own.{k}": g for k, g in zip(names, grads)}

        model = fresh()
        loss = objective(case, model)
        update = torch.optim.Adam(model.parameters(), foreach=False, **ADAM)
        losses = []
        for step in range(1, STEPS + 1):
            value, _ = total(loss, model, images[step - 1], noise[step - 1], step)
            own = torch.autograd.grad(value, list(model.parameters()))
            for parameter, grad in zip(model.parameters(), own):
                parameter.grad = grad
            if case == "factor-vae":
                loss.optimizer.zero_grad()
                loss.own_loss.backward()
                loss.optimizer.step()
            update.step()
            losses.append(value.detach())
        tensors[f"{case}.losses"] = torch.stack(losses)
        tensors |= {f"{case}.final.{k}": v.clone() for k, v in model.tensors().items()}
        if case == "factor-vae":
            final = loss.discriminator.state_dict()
            tensors |= {f"{case}.final-own.{k}": v.clone() for k, v in final.items()}
    return tensors, SPEC | {"cases": cases, "images": N, "steps": STEPS}
