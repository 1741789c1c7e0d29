"""A small residual network for CIFAR-10, and how it was trained.

`python resnet_cifar10.py cifar10/train` writes `resnet_cifar10.safetensors` beside this file, in a minute or two on
one core, as it takes every fifth image and four epochs. `eric-fast capture resnet_cifar10.py:build cifar10/train -o
train` then captures its seven layers and which feeds which: three of them are sums that skips lead to.
"""

import math
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WIDTHS = (16, 32, 64)
N_EPOCHS, BATCH, RATE, STEP = 4, 64, 0.1, 5


class Block(nn.Module):
    """Two convolutions, and a skip past them."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.norm1, self.inner = nn.BatchNorm2d(n_out), nn.ReLU()
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm2, self.sum = nn.BatchNorm2d(n_out), nn.ReLU()
        self.skip = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.inner(self.norm1(self.conv1(maps)))
        return self.sum(self.skip(maps) + self.norm2(self.conv2(inner)))


def make_network() -> nn.Sequential:
    """The network, untrained."""
    n_first, n_middle, n_last = WIDTHS
    stem = nn.Sequential(nn.Conv2d(3, n_first, 3, 2, padding=1, bias=False), nn.BatchNorm2d(n_first), nn.ReLU())
    blocks = [Block(n_first, n_first, 1), Block(n_first, n_middle, 2), Block(n_middle, n_last, 2)]
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_last, len(CLASSES)))


def build() -> nn.Module:
    """The trained network, in evaluation mode."""
    network = make_network()
    network.load_state_dict(load_file(Path(__file__).with_suffix(".safetensors")))
    return network.eval()


def transform() -> v2.Compose:
    """PIL image -> the network's input."""
    return v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def train_network(folder: str) -> nn.Module:
    """Train for `N_EPOCHS` epochs, half of the images mirrored; the rate rises for one and falls to 0."""
    prepare, data = transform(), ImageFolder(folder)
    images = torch.stack([prepare(data[number][0]) for number in range(0, len(data), STEP)])
    labels = torch.tensor(data.targets[::STEP])
    torch.manual_seed(0)
    network = make_network().to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), momentum=0.9, weight_decay=5e-4, nesterov=True)
    n_steps, start, step = N_EPOCHS * (len(images) // BATCH), time.perf_counter(), 0
    for epoch in range(N_EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            rate = RATE * min(step * N_EPOCHS / n_steps, 0.5 + 0.5 * math.cos(math.pi * step / n_steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            chosen = images[batch]
            mirrored = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, chosen.flip(3), chosen)
            logits = network(mirrored.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step, total = step + 1, total + loss.item()
        n_seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total * N_EPOCHS / n_steps:.3f}, {n_seconds:.0f} s", flush=True)
    return network.to(memory_format=torch.contiguous_format).eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained = train_network(sys.argv[1])
    save_file(trained.state_dict(), Path(__file__).with_suffix(".safetensors"))
