"""Open torchvision's data sets by name, if their files can be read without unpickling."""

from typing import Any

from torchvision import datasets

from eric_fast.capture.torch_sets import TorchImages
from eric_fast.errors import DataError, first_line, suggest_nearest

# name on the command line -> class, and names of splits
SETS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "mnist": (datasets.MNIST, ("train", "test")),
    "fashionmnist": (datasets.FashionMNIST, ("train", "test")),
    "kmnist": (datasets.KMNIST, ("train", "test")),
    "svhn": (datasets.SVHN, ("train", "test", "extra")),
    "stl10": (datasets.STL10, ("train", "test")),
    "gtsrb": (datasets.GTSRB, ("train", "test")),
    "flowers102": (datasets.Flowers102, ("train", "val", "test")),
    "food101": (datasets.Food101, ("train", "test")),
    "dtd": (datasets.DTD, ("train", "val", "test")),
    "oxfordiiitpet": (datasets.OxfordIIITPet, ("trainval", "test")),
    "imagenette": (datasets.Imagenette, ("train", "val")),
    "fgvcaircraft": (datasets.FGVCAircraft, ("train", "val", "trainval", "test")),
}
PICKLED = ("cifar10", "cifar100", "semeion")


def open_named_set(kind: str, place: str) -> TorchImages:
    """Open torchvision's data set `kind`; `place` is `ROOT/SPLIT`, where `ROOT` is torchvision's argument `root`.

    Raises:
        DataError: an unknown data set or split; missing files; a data set whose files are pickles.
    """
    name = f"{kind}:{place}"
    if kind in PICKLED:
        raise DataError(
            f"{name}: the files of {kind} are pickles, which can contain code, so they are not opened; unpack them "
            "into an image folder, or in Python give capture_activations torchvision's data set"
        )
    if kind not in SETS:
        raise DataError(f"'{kind}' in {name} is not a kind of data{suggest_nearest(kind, [*SETS, 'hf', 'digits'])}")
    build, splits = SETS[kind]
    root, _, split = place.rpartition("/")
    if not root or split not in splits:
        raise DataError(f"{name} must end in a split: write {kind}:ROOT/{splits[0]}{suggest_nearest(split, splits)}")
    chosen: dict[str, Any] = {"split": split}
    if splits == ("train", "test") and issubclass(build, datasets.MNIST):
        chosen = {"train": split == "train"}
    try:
        dataset = build(root, download=False, **chosen)
    except Exception as error:  # RuntimeError for missing files, or any error of a decoder
        raise DataError(
            f"{name} can't be read ({first_line(error)}); give the folder that torchvision downloads to"
        ) from error
    return TorchImages(dataset, name)
