import torch
from torch import nn
from torch.nn.functional import relu
from safetensors.torch import load_file


class Burgess(nn.Module):
    def __init__(self, channels=1, latents=10):
        super().__init__()
        sides = [channels, 32, 32, 32, 32]
        pairs = list(zip(sides, sides[1:]))
        self.encoder = nn.ModuleDict({
            "conv": nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in pairs),
            "hidden": nn.ModuleList([nn.Linear(512, 256), nn.Linear(256, 256)]),
            "mean": nn.Linear(256, latents), "log_var": nn.Linear(256, latents)})
        self.decoder = nn.ModuleDict({
            "hidden": nn.ModuleList([nn.Linear(latents, 256), nn.Linear(256, 256)]),
            "project": nn.Linear(256, 512),
            "conv_transpose": nn.ModuleList(nn.ConvTranspose2d(o, i, 4, 2, 1) for i, o in pairs[::-1])})

    def encode(self, x):  # [N, C, 64, 64] in [0, 1] -> mean, log_var [N, D]
        for conv in self.encoder["conv"]:
            x = relu(conv(x))
        x = x.flatten(1)
        for layer in self.encoder["hidden"]:
            x = relu(layer(x))
        return self.encoder["mean"](x), self.encoder["log_var"](x)

    def decode(self, z):  # [N, D] -> [N, C, 64, 64] in [0, 1]
        for layer in [*self.decoder["hidden"], self.decoder["project"]]:
            z = relu(layer(z))
        z = z.view(-1, 32, 4, 4)
        for conv in self.decoder["conv_transpose"][:-1]:
            z = relu(conv(z))
        return torch.sigmoid(self.decoder["conv_transpose"][-1](z))


def load(path):
    tensors = load_file(path)
    model = Burgess(tensors["encoder.conv.0.weight"].shape[1], tensors["encoder.mean.weight"].shape[0])
    model.load_state_dict(tensors)  # strict: every tensor, nothing else
    return model.eval()
