"""A second network for CIFAR-10: four plain 3x3 convolutions, trained here in minutes with a fixed seed.

Its weights go to .cache/small_cnn.safetensors. Input: float32 [batch, 3, 32, 32] within -1..1; output: logits
[batch, 10]. Its ReLUs are conv1.2, conv2.2, conv3.2 and conv4.2.
"""

from collections import OrderedDict

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2 as transforms

from bench.harness import CACHE
from eric_fast.capture import open_data
from eric_fast.demo.run import one_thread
from eric_fast.progress import Progress

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WEIGHTS = CACHE / "small_cnn.safetensors"
WIDTHS = (24, 48, 96, 96)
N_EPOCHS, BATCH_SIZE = 3, 250


def _convolve(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())


def build() -> nn.Module:
    """The network, in evaluation mode."""
    first, second, third, fourth = WIDTHS
    model = nn.Sequential(
        OrderedDict(
            conv1=_convolve(3, first, 2),
            conv2=_convolve(first, second),
            pool2=nn.MaxPool2d(2),
            conv3=_convolve(second, third),
            pool3=nn.MaxPool2d(2),
            conv4=_convolve(third, fourth),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fourth, 10)),
        )
    )
    if WEIGHTS.exists():
        model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


def transform() -> transforms.Compose:
    """PIL image -> the network's input."""
    return transforms.Compose(
        [
            transforms.ToImage(),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )


def train_small(folder: str, progress: Progress) -> None:
    """Train on the images of a folder, mirrored at random, where there are no weights yet."""
    if WEIGHTS.exists():
        return
    data, to_input = open_data(folder), transform()
    samples = [data.load_sample(i) for i in range(len(data))]
    images = torch.stack([to_input(sample.image) for sample in samples])  # [n, 3, 32, 32]
    folders = [data.folders[sample.label] for sample in samples if isinstance(sample.label, int)]
    labels = torch.tensor([CLASSES.index(folder) for folder in folders])
    with one_thread():
        torch.manual_seed(0)
        model = build().train().to(memory_format=torch.channels_last)
        n_steps = N_EPOCHS * -(-len(images) // BATCH_SIZE)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.2, total_steps=n_steps)
        for epoch in range(N_EPOCHS):
            progress("train a CNN", epoch, N_EPOCHS)
            for batch in torch.randperm(len(images)).split(BATCH_SIZE):
                mirrored = torch.rand(len(batch)) < 0.5
                inputs = images[batch]
                inputs[mirrored] = inputs[mirrored].flip(3)
                optimiser.zero_grad()
                cross_entropy(model(inputs), labels[batch]).backward()
                optimiser.step()
                schedule.step()
    progress("train a CNN", N_EPOCHS, N_EPOCHS)
    save_file({name: values.contiguous() for name, values in model.state_dict().items()}, WEIGHTS)
