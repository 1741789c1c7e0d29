"""A data set with a known truth: what a network's last layer could look like where the answer is known."""

import torch

from eric_fast.store.activations import Activations, CaptureSettings

CLASSES = ("cat", "dog")
N_KERNELS = 16
# Kernels by what they are; the others are noise.
KEY = (2, 5)  # true on exactly the tabby cats, and on exactly the black ones
TABBY, BLACK = (3, 4), (6, 7)  # lean towards one of the two sub-classes
TWINS = (8, 9)  # say the same of noise
OPPOSITES = (11, 12)
DEAD = 10  # never changes


def make_planted(n_images: int, seed: int, *, shuffled: bool = False) -> tuple[Activations, torch.Tensor]:
    """Norms of one layer, and which sub-class each image is of: 0 tabby, 1 black, -1 a dog.

    A half are cats, as many of one kind as of the other where 4 divides `n_images`. Where `shuffled`, the images have
    each other's classes.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(share: float) -> torch.Tensor:
        return torch.rand(n_images, generator=generator) < share

    kind = torch.randperm(n_images, generator=generator) % 4
    subclass = torch.where(kind < 2, kind, -1)
    high = torch.stack([draw(0.5) for _ in range(N_KERNELS)], dim=1)
    for number, kernels in enumerate((TABBY, BLACK)):
        high[:, KEY[number]] = subclass == number
        for kernel in kernels:
            high[:, kernel] = torch.where(subclass == number, draw(0.8), draw(0.1))
    high[:, TWINS[1]] = high[:, TWINS[0]] ^ draw(0.01)
    high[:, OPPOSITES[1]] = ~high[:, OPPOSITES[0]]
    norms = 0.4 * torch.rand(n_images, N_KERNELS, generator=generator) + high.float() * 2
    norms[:, DEAD] = 0.5
    classes = (subclass < 0).long()
    if shuffled:
        classes = classes[torch.randperm(n_images, generator=generator)]
    settings = CaptureSettings("planted", "5eed", "planted")
    ids = [f"{i:05d}" for i in range(n_images)]
    return Activations({"f": norms}, ids, classes, classes.clone(), CLASSES, settings), subclass
