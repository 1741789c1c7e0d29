"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

MODEL_HELP = "A torchvision name such as vgg16, or path/to/file.py:callable that returns a torch.nn.Module."
DATA_HELP = (
    "An image folder, a folder per class; a folder of images or one image, without labels; photos.csv, with columns "
    "path and label; digits, digits/train, digits/test; 'shard-{000..009}.tar', 'shards/*.tar' "
    "(uncompressed tar files: WebDataset's, or image folders); hf:PATH_OR_NAME[:SPLIT] (Hugging Face's datasets); or "
    "mnist:ROOT/test and the like (torchvision's fashionmnist, kmnist, svhn, stl10, gtsrb, flowers102, food101, dtd, "
    "oxfordiiitpet, imagenette, fgvcaircraft). Data sets and loaders of torch.utils.data go to the Python API."
)
Model = Annotated[str | None, typer.Option("--model", help=MODEL_HELP + " Needed where images are given.")]
Weights = Annotated[
    str | None,
    typer.Option(help="DEFAULT, none (random, seeded), or a .safetensors or .pth file. Needed by torchvision names."),
]
ModelOutput = Annotated[
    str | None,
    typer.Option(
        "--model-output",
        metavar="NAME|INDEX",
        help="Where the network's logits are in what it returns; by default 'logits', or the only tensor that fits.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="What the outputs mean: multiclass (the highest is the class), binary (one output: the second class where "
        "it is above 0) or multilabel (each is a label, true above 0). By default one output is binary, and several "
        "that a sigmoid makes are labels."
    ),
]
UnitAxis = Annotated[
    list[str] | None,
    typer.Option(
        "--unit-axis",
        metavar="LAYER=AXIS",
        help="The axis that counts a layer's units, where it isn't known: blocks.3=2; may be given again.",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(help="Names or shell patterns such as 'features.*', several with commas; by default all activations."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists, once the new one is complete.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON too.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="csv|latex|markdown", help="Print the tables in this form, and all else on stderr."),
]
Device = Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda.")]
Dtype = Annotated[
    str,
    typer.Option(
        help="What the network computes in: float32, bfloat16, float16; or float32 weights under torch.autocast: "
        "autocast-bfloat16, autocast-float16."
    ),
]
MemoryFormat = Annotated[str, typer.Option(help="How maps lie in memory: contiguous, channels-last.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Fuse the network with torch.compile: a minute first, for many images.")
]
BatchSize = Annotated[int, typer.Option(help="Images in a batch.")]
Workers = Annotated[int, typer.Option(help="Processes that decode images; 0: none but this one.")]
Limit = Annotated[
    int | None,
    typer.Option(help="Take this many images, evenly spread over the data.", rich_help_panel="Network and images"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad-images", help="Leave unreadable images out, and count them.")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="What a process may take at most, such as 4GB; by default half of what is free."),
]
Engine = Annotated[str, typer.Option(help="reference, cpu, gpu, or auto (where the bits are).")]
Start = Annotated[
    str | None,
    typer.Option(
        help="The layer whose bits are given, with what runs beside it in the network, or layers that every path "
        "crosses, with commas; the program's lowest by default."
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="NAME", help="Of a program of several labels: the one that this is about."),
]
GroupFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Say it by group of classes, too: a CSV file with the columns class and group, and wnid if WordNet's "
        "identifiers are to be known.",
    ),
]
ProgramFile = Annotated[Path, typer.Argument(metavar="PROGRAM", help="A program's text file, from extract.")]
ThresholdText = Annotated[
    str,
    typer.Option(
        help="mean, '0.6*mean+0.7*std', quantile:0.75, a number, or split (tells classes apart); bits are true "
        "above it, or, after '>=', from it on. two-sided:mean and the like, of units with a sign (--norm mean): a bit "
        "is true above t, one below -t."
    ),
]
PerKernel = Annotated[
    int,
    typer.Option(
        "--thresholds-per-kernel",
        metavar="1-7",
        help="Thresholds of each kernel: the second is that of the images above the first, the third that of those "
        "below it, and so on.",
    ),
]
Criterion = Annotated[str, typer.Option(help="entropy or gini.")]
Target = Annotated[str, typer.Option(help="model (what it predicts: fidelity) or label.")]
Rules = Annotated[
    str,
    typer.Option(
        help="trees: each branch becomes a rule. weights: a kernel becomes a sum of weighted literals with a bound, "
        "and classes become votes. fold: default rules with exceptions, as FOLD-RM learns them; --min-leaf is then the "
        "fewest images that a rule must be right on."
    ),
]
Literals = Annotated[int, typer.Option(metavar="K", help="With weights: literals of a kernel's rule.")]
LiteralsText = Annotated[
    str,
    typer.Option(metavar="K", help="With weights: literals of a kernel's rule, or auto: chosen on held-back images."),
]
GridText = Annotated[
    str,
    typer.Option(
        metavar="1|2|auto",
        help="2: atoms of the quarters of maps too, of a capture with --grid 2; auto: in layers where they help on "
        "held-back images.",
    ),
]
MaxWeight = Annotated[int, typer.Option(help="With weights: the largest weight of a kernel's rule.")]
VotesText = Annotated[
    str | None,
    typer.Option(
        help="Class rules of one literal each, learned from counts: rows (each adds a whole number to every class) or "
        "single (to one class); rows if classes get weights."
    ),
]
Fit = Annotated[
    str,
    typer.Option(
        help="With votes: counts (their numbers by least squares from pair counts), or logistic (fitted on from there, "
        "over all images again and again)."
    ),
]
VoteLayers = Annotated[
    str,
    typer.Option(
        help="With weights in a chain: whose bits the votes of a start draw on, the last layer's, or those of all from "
        "the start up."
    ),
]
NVotes = Annotated[int, typer.Option(help="With votes: class rules at most; in a chain, of each start.")]
