"""A CNN of four 3x3 convolutions for scikit-learn's 8x8 grey digits.

Weights: the `.safetensors` file beside this one, where there is one. Input: float32 [batch, 1, 8, 8] in [0, 1].
Output: logits [batch, 10], in the order of CLASSES.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.transforms import v2 as transforms

CLASSES = [str(digit) for digit in range(10)]


def convolve(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


def build() -> nn.Module:
    """The network, in evaluation mode. Its ReLUs are conv1.2, conv2.2, conv3.2 and conv4.2."""
    model = nn.Sequential(
        OrderedDict(
            conv1=nn.Sequential(*convolve(1, 16)),
            conv2=nn.Sequential(*convolve(16, 32)),
            pool=nn.MaxPool2d(2),
            conv3=nn.Sequential(*convolve(32, 64)),
            conv4=nn.Sequential(*convolve(64, 64)),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
        )
    )
    weights = Path(__file__).with_suffix(".safetensors")
    if weights.exists():
        model.load_state_dict(load_file(weights))
    return model.eval()


def transform() -> transforms.Compose:
    """PIL image -> the network's input."""
    return transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])
