"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

MODEL_HELP = "A torchvision name such as vgg16, or path/to/file.py:callable that returns a torch.nn.Module."
DATA_HELP = (
    "An image folder with a subfolder for each class; a folder of images, or one image, without labels; photos.csv "
    "with the columns path and label; digits, digits/train or digits/test; 'shard-{000..009}.tar' or 'shards/*.tar' "
    "(uncompressed tar files of WebDataset, or of image folders); hf:PATH_OR_NAME[:SPLIT] (a Hugging Face data set); "
    "or a torchvision data set such as mnist:ROOT/test (also fashionmnist, kmnist, svhn, stl10, gtsrb, flowers102, "
    "food101, dtd, oxfordiiitpet, imagenette, fgvcaircraft). The Python API also takes data sets and loaders of "
    "torch.utils.data."
)
Weights = Annotated[
    str | None,
    typer.Option(
        help="DEFAULT, none (random, seeded), or a .safetensors or .pth file. Required for torchvision names."
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(help="Names or shell patterns such as 'features.*', separated by commas; by default all activations."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output, once the new one is complete.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures as JSON.")]
As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="csv|latex|markdown", help="Print tables in this format, and everything else to stderr."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="The most memory that a process may use, such as 4GB; by default half of what is free."
    ),
]
Engine = Annotated[str, typer.Option(help="reference, cpu, gpu, or auto (the device that holds the bits).")]
Start = Annotated[
    str | None,
    typer.Option(
        help="The layer to start from, by default the lowest: its bits are given, and so are those of layers that run "
        "beside it. Or several layers, separated by commas, one of which lies on every path."
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="NAME", help="For a program of several labels: the label to look at."),
]
GroupFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also show figures by group of classes: a CSV file with the columns class and group, and wnid if classes "
        "are named by WordNet identifiers.",
    ),
]
ProgramFile = Annotated[Path, typer.Argument(metavar="PROGRAM", help="A program file, as written by extract.")]
ThresholdText = Annotated[
    str,
    typer.Option(
        help="mean, '0.6*mean+0.7*std', quantile:0.75, a number, or split (the value that separates the classes best). "
        "'A,B' is A for the last layer, and B for those below. A bit is true above its threshold; with '>=' in front, "
        "also at it. Units with a sign (--norm mean) can have "
        "two bits, one above t and one below -t: two-sided:mean and the like."
    ),
]
PerKernel = Annotated[
    int,
    typer.Option(
        "--thresholds-per-kernel",
        metavar="1-7",
        help="Thresholds per kernel: the second is fitted to the images above the first, the third to those below it, "
        "and so on.",
    ),
]
Criterion = Annotated[str, typer.Option(help="The impurity that splits lower: entropy or gini.")]
Target = Annotated[
    str, typer.Option(help="What rules learn to predict: model (the network's answers) or label (the true classes).")
]
Rules = Annotated[
    str,
    typer.Option(
        help="trees: each branch becomes a rule. weights: a kernel becomes a weighted sum of literals with a bound, "
        "and classes become votes. fold: default rules with exceptions, as in FOLD-RM; --min-leaf is then the fewest "
        "images on which a rule must be right."
    ),
]
Literals = Annotated[int, typer.Option(metavar="K", help="With weights: literals in a kernel's rule.")]
LiteralsText = Annotated[
    str,
    typer.Option(metavar="K", help="With weights: literals in a kernel's rule, or auto (chosen on held-back images)."),
]
GridText = Annotated[
    str,
    typer.Option(
        metavar="1|2|auto",
        help="2: also use the quarters of maps, of a capture made with --grid 2. auto: use them in the layers where "
        "they help on held-back images.",
    ),
]
MaxWeight = Annotated[int, typer.Option(help="With weights: the largest weight in a kernel's rule.")]
VotesText = Annotated[
    str | None,
    typer.Option(
        help="Learn class rules of one literal each: rows (each adds a whole number to every class) or single (to one "
        "class). By default rows, if classes get weights."
    ),
]
Fit = Annotated[
    str,
    typer.Option(
        help="With votes: counts (least squares from counts of pairs) or logistic (starts there, and goes over all "
        "images repeatedly)."
    ),
]
VoteLayers = Annotated[
    str,
    typer.Option(
        help="With weights in a chain: which bits the votes of a start use: last (the last layer's) or all (those of "
        "every layer from the start up)."
    ),
]
NVotes = Annotated[int, typer.Option(help="With votes: the most class rules; in a chain, for each start.")]
