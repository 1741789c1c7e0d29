"""A small vision transformer for CIFAR-10, and how it was trained.

`python vit_cifar10.py cifar10/train` writes `vit_cifar10.safetensors` beside this file, in a quarter of an hour on one
core that multiplies bfloat16 numbers. `eric-fast capture vit_cifar10.py:build cifar10/test -o test` then captures the
class token of each of its blocks.
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
WIDTH, DEPTH, N_HEADS, PATCH = 96, 4, 3, 4
N_EPOCHS, BATCH, RATE = 9, 128, 2e-3


class Attention(nn.Module):
    """Attention of all tokens to all tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.heads = nn.Identity()  # what each head gives: [n, heads, tokens, features]
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.qkv(tokens).unflatten(2, (3, N_HEADS, WIDTH // N_HEADS)).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(2, 3) / math.sqrt(WIDTH // N_HEADS)
        heads = self.heads(scores.softmax(3) @ parts[2])
        return self.out(heads.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to the residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """64 tokens of 4x4 pixels and a class token, which the head reads."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (32 // PATCH) ** 2 + 1, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        token = self.token.expand(images.shape[0], -1, -1)
        tokens = self.blocks(torch.cat([token, patches], 1) + self.positions)
        return self.head(self.norm(tokens[:, 0]))


def build() -> nn.Module:
    """The trained network, in evaluation mode."""
    network = VisionTransformer()
    network.load_state_dict(load_file(Path(__file__).with_suffix(".safetensors")))
    return network.eval()


def transform() -> v2.Compose:
    """PIL image -> the network's input."""
    return v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def load_images(folder: str) -> tuple[Tensor, Tensor]:
    """Images `[n, 3, 32, 32]` as the network takes them, bfloat16, and classes `[n]`."""
    prepare, data = transform(), ImageFolder(folder)
    images = torch.empty(len(data), 3, 32, 32, dtype=torch.bfloat16)
    for number, (image, _) in enumerate(data):
        images[number] = prepare(image)
    return images, torch.tensor(data.targets)


def augment(images: Tensor) -> Tensor:
    """Half of the images mirrored, each shifted by up to four pixels."""
    mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    down, right = torch.randint(0, 9, (2, len(images), 1, 1))
    places = torch.arange(32)
    padded = functional.pad(images, (4, 4, 4, 4))
    rows, columns = down + places[None, :, None], right + places[None, None, :]
    return padded[torch.arange(len(images))[:, None, None], :, rows, columns].permute(0, 3, 1, 2).contiguous()


def train_network(images: Tensor, labels: Tensor) -> nn.Module:
    """Train for `N_EPOCHS` epochs; the rate rises for one and falls to 0 as a cosine does."""
    torch.manual_seed(0)
    network = VisionTransformer()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    n_steps, start = N_EPOCHS * (len(images) // BATCH), time.perf_counter()
    step = 0
    for epoch in range(N_EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            rate = RATE * min(step * N_EPOCHS / n_steps, 0.5 + 0.5 * math.cos(math.pi * step / n_steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(augment(images[batch]))
            loss = functional.cross_entropy(logits.float(), labels[batch], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step, total = step + 1, total + loss.item()
        n_seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total * N_EPOCHS / n_steps:.3f}, {n_seconds:.0f} s", flush=True)
    return network.eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained = train_network(*load_images(sys.argv[1]))
    save_file(trained.state_dict(), Path(__file__).with_suffix(".safetensors"))
