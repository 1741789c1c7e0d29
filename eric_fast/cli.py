"""The command line: thin shells over the API, with the same words. torch loads inside the commands, not for --help."""

import csv
import os
import shutil
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eric_fast.console import prepare_streams, show_notes, show_progress, stderr, stdout
from eric_fast.errors import EricError, OutputError, SettingError
from eric_fast.output import check_file, check_folder, replace_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eric_fast.activations import Activations
    from eric_fast.program import Program
    from eric_fast.progress import Progress

UsageError: Any = typer.BadParameter.__base__  # typer's own, or click's, by typer's version
app = typer.Typer(
    name="eric-fast",
    help="Turn a trained CNN into a logic program over its kernels (ERIC, arXiv 2010.09452), and evaluate it.\n\n"
    "The way: capture (run the network over images) -> extract (a program from the training capture) -> "
    "evaluate (the program on the test capture) -> show, predict. `eric-fast demo` does it all on real digits.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MODEL_HELP = "A torchvision name such as vgg16, or path/to/file.py:callable that returns a torch.nn.Module."
DATA_HELP = "An image folder with one folder per class, or digits, digits/train, digits/test."
Model = Annotated[str | None, typer.Option("--model", help=MODEL_HELP + " Needed where images are given.")]
Weights = Annotated[
    str | None,
    typer.Option(help="DEFAULT, none (random, seeded), or a .safetensors or .pth file. Needed by torchvision names."),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(help="Names or shell patterns such as 'features.*', several with commas; by default all activations."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists, once the new one is complete.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON too.")]
Device = Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda.")]
Dtype = Annotated[str, typer.Option(help="What the network computes in: float32, bfloat16, float16.")]
BatchSize = Annotated[int, typer.Option(help="Images in a batch.")]
Workers = Annotated[int, typer.Option(help="Processes that decode images; 0: none but this one.")]
Limit = Annotated[int | None, typer.Option(help="Take this many images, evenly spread over the data.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-images", help="Leave unreadable images out, and count them.")]
Engine = Annotated[str, typer.Option(help="reference, cpu, gpu, or auto (where the bits are).")]
Start = Annotated[str | None, typer.Option(help="The layer whose bits are given; the program's lowest by default.")]
_NETWORK_DEFAULTS = {
    "model": None,
    "weights": None,
    "dtype": "float32",
    "device": "auto",
    "batch_size": 64,
    "workers": 0,
    "limit": None,
    "skip_bad_images": False,
}
ProgramFile = Annotated[Path, typer.Argument(metavar="PROGRAM", help="A program's text file, from extract.")]


def main() -> None:
    """Run the command line; what the user can mend is one line on stderr and exit code 2."""
    prepare_streams()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that half outputs are removed
    try:
        sys.exit(app(prog_name="eric-fast", standalone_mode=False) or 0)
    except EricError as error:
        message = str(error)
    except UsageError as error:
        message = f"{error.format_message()} Try --help."
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        message = f"{error.filename or 'the output'}: {error.strerror}"
    except (KeyboardInterrupt, typer.Abort):
        message = "interrupted; what was not complete is not written"
        stderr.print(f"error: {message}", markup=False, style="red")
        sys.exit(130)
    stderr.print(f"error: {' '.join(message.split())}", markup=False, style="red")
    sys.exit(2)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    show_notes()
    if show_version:
        stdout.print(f"eric-fast {version('eric-fast')}")
    elif context.invoked_subcommand is None:
        stdout.print(context.get_help(), markup=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where everything goes.")] = Path(
        "eric-demo"
    ),
    json: Json = None,
    force: Force = False,
) -> None:
    """Train a small CNN on handwritten digits, extract its program, and score it: seconds, nothing to download."""
    _check_paths([json], [], force=force)
    check_folder(output, force=force, marker="metrics.json")
    with show_progress() as progress:
        progress("load torch", 0, 1)
        from eric_fast.demo import METRICS, run_demo
        from eric_fast.report import describe_class_rule, pick_covering_rules, tabulate_scores

        progress("load torch", 1, 1)
        result = run_demo(output, force=force, progress=progress)
    top = result.scores[-1]
    if json is not None:
        write_json(result.to_dict(), json, force=force)
    stdout.print(f"\nA CNN for 8x8 digits: accuracy {top.model_accuracy:.4f} on {top.n_images} test images.")
    stdout.print("Its program, on the same images, given the bits of one layer and chained from there to the class:\n")
    stdout.print(tabulate_scores(result.scores))
    stdout.print(f"evaluated at {result.images_per_s:,.0f} images a second from the bits of {top.start_layer}\n")
    for number in pick_covering_rules(result.program, 3):
        stdout.print(describe_class_rule(result.program, number), markup=False)
    stdout.print(
        f"\nwrote {output / 'program.lp'}, {output / METRICS}, and the network and its captures beside them\n"
        "next:\n"
        f"  {_own_name()} show {output}/program.lp --class 8\n"
        f"  {_own_name()} evaluate {output}/program.lp {output}/test --start conv3.2\n"
        f"  {_own_name()} predict {output}/program.lp digits/test --model {output}/digits_cnn.py:build -o answers.csv",
        markup=False,
    )


@app.command()
def capture(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The capture to write.")],
    weights: Weights = None,
    layers: Layers = None,
    norm: Annotated[str, typer.Option(help="How a map becomes one number: l1, l2, max, mean.")] = "l1",
    dtype: Dtype = "float32",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    json: Json = None,
    force: Force = False,
) -> None:
    """Run a network over images, and keep one norm for each image and kernel.

    Layers are by default all activations that follow convolutions. Capture training and test images apart: programs
    are extracted from the one and scored on the other.
    """
    _check_paths([json], [output, data], force=force)
    check_folder(output, force=force, marker="manifest.json")
    from eric_fast.activations import share_correct
    from eric_fast.capture import capture_activations, load_model, open_data, save_activations

    with show_progress() as progress:
        loaded, images = load_model(model, weights), open_data(data)
        start = time.perf_counter()
        activations = capture_activations(
            loaded,
            images,
            layers=_split_commas(layers),
            norm=norm,
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            workers=workers,
            limit=limit,
            skip_bad_images=skip_bad_images,
            progress=progress,
        )
        seconds = time.perf_counter() - start
    save_activations(activations, output, force=force)
    n_kernels = {layer: norms.shape[1] for layer, norms in activations.norms.items()}
    figures = {
        "n_images": activations.n_images,
        "n_bad_images": activations.settings.n_bad_images,
        "layers": n_kernels,
        "seconds": seconds,
        "images_per_s": activations.n_images / seconds,
        "model_accuracy": share_correct(activations.predictions, activations.labels),
    }
    if json is not None:
        write_json(figures, json, force=force)
    shown = ", ".join(f"{layer} ({count})" for layer, count in n_kernels.items())
    stdout.print(
        f"captured {activations.n_images:,} images, {sum(n_kernels.values()):,} kernels of {len(n_kernels)} layers "
        f"in {seconds:.1f} s ({figures['images_per_s']:,.0f} images/s): {shown}",
        markup=False,
    )
    if activations.settings.n_bad_images:
        stdout.print(f"left out {activations.settings.n_bad_images:,} images that can't be read")
    accuracy = figures["model_accuracy"]
    stdout.print("model accuracy: " + ("unknown, as labels are" if accuracy is None else f"{accuracy:.4f}"))
    stdout.print(f"wrote {output}; next: {_own_name()} extract {output} -o program.lp", markup=False)


@app.command()
def extract(
    capture: Annotated[Path, typer.Argument(metavar="DIR", help="The capture of the training images.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The program to write.")],
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="The chain: all, names or shell patterns (several with commas). By default the last layer: class "
            "rules alone."
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(help="mean, '0.6*mean+0.7*std', quantile:0.75, a number, or split (tells classes apart)."),
    ] = "mean",
    criterion: Annotated[str, typer.Option(help="entropy or gini.")] = "entropy",
    max_depth: Annotated[int | None, typer.Option(help="Literals in a rule at most.")] = None,
    min_leaf: Annotated[str, typer.Option(help="Images a rule covers at least: a number, or a share of all.")] = "0.01",
    max_rules: Annotated[int | None, typer.Option(help="Leaves of each tree at most, the best first.")] = None,
    target: Annotated[str, typer.Option(help="model (what it predicts: fidelity) or label.")] = "model",
    all_kernels: Annotated[
        bool, typer.Option("--all-kernels", help="Rules for kernels that no rule mentions too.")
    ] = False,
    json: Json = None,
    force: Force = False,
) -> None:
    """Extract a logic program from a capture of the training images."""
    _check_paths([output, json], [capture], force=force)
    from eric_fast.capture import list_layers, load_activations
    from eric_fast.extract import TreeOptions, parse_min_leaf
    from eric_fast.pipeline import approximate_model, match_layers
    from eric_fast.text import save_program

    options = TreeOptions(criterion, max_depth, parse_min_leaf(min_leaf), max_rules)
    activations = load_activations(capture, match_layers(_split_commas(layers), list_layers(capture)))
    with show_progress() as progress:
        start = time.perf_counter()
        program = approximate_model(
            activations,
            layers="all",
            threshold=threshold,
            target=target,
            options=options,
            all_kernels=all_kernels,
            progress=progress,
        )
        seconds = time.perf_counter() - start
    save_program(program, output, force=force)
    figures = {
        "n_images": program.n_images,
        "layers": list(program.layers),
        "n_class_rules": len(program.class_rules),
        "n_kernel_rules": len(program.kernel_rules),
        "n_literals": program.n_literals,
        "seconds": seconds,
    }
    if json is not None:
        write_json(figures, json, force=force)
    stdout.print(
        f"extracted {len(program.class_rules):,} class rules and {len(program.kernel_rules):,} kernel rules, "
        f"{program.n_literals:,} literals, from {program.n_images:,} images in {seconds:.1f} s\n"
        f"wrote {output}; next: {_own_name()} evaluate {output} TEST_CAPTURE, {_own_name()} show {output}",
        markup=False,
    )


@app.command()
def evaluate(
    program_file: ProgramFile,
    source: Annotated[str, typer.Argument(metavar="DIR|DATA", help="A capture, or images: " + DATA_HELP)],
    chains: Annotated[bool, typer.Option("--chains", help="Score it from each of its layers.")] = False,
    start: Start = None,
    engine: Engine = "auto",
    model: Model = None,
    weights: Weights = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    json: Json = None,
    force: Force = False,
) -> None:
    """Score a program: fidelity to the model, accuracy, coverage, size, confusion."""
    _check_paths([json], [program_file, source], force=force)
    from eric_fast.pipeline import evaluate_chains, evaluate_program, find_device
    from eric_fast.report import describe_disagreements, fits_terminal, tabulate_confusion, tabulate_scores
    from eric_fast.text import load_program

    program = load_program(program_file)
    layers = list(program.layers) if chains else [program.layer_to_start(start)]
    find_device(engine)
    with show_progress() as progress:
        activations = _find_activations(
            program,
            source,
            model,
            weights,
            layers=layers,
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            workers=workers,
            limit=limit,
            skip_bad_images=skip_bad_images,
            progress=progress,
        )
        rows = evaluate_chains(program, activations, engine=engine, progress=progress) if chains else []
        whole = chains and start in (None, program.layers[0])
        score = rows[0] if whole else evaluate_program(program, activations, start=start, engine=engine)
    if json is not None:
        content = {
            **score.to_dict(),
            "classes": list(program.classes),
            "chains": [row.to_dict(with_confusion=False) for row in rows],
        }
        write_json({**content, "n_bad_images": activations.settings.n_bad_images}, json, force=force)
    if activations.settings.n_bad_images:
        stdout.print(f"left out {activations.settings.n_bad_images:,} images that can't be read")
    accuracy = "unknown, as labels are" if score.model_accuracy is None else f"{score.model_accuracy:.4f}"
    stdout.print(f"{score.n_images:,} images; model accuracy {accuracy}")
    stdout.print(tabulate_scores(rows or [score]))
    if fits_terminal(program):
        stdout.print(tabulate_confusion(program, score))
    else:
        for line in describe_disagreements(program, score):
            stdout.print(line, markup=False)


@app.command()
def predict(
    program_file: ProgramFile,
    source: Annotated[str, typer.Argument(metavar="DATA|DIR", help="A capture, or images: " + DATA_HELP)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The CSV file to write.")],
    start: Start = None,
    engine: Engine = "auto",
    model: Model = None,
    weights: Weights = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    force: Force = False,
) -> None:
    """Write one row per image: id, prediction (empty where no rule fires), and the number of the rule that decided."""
    _check_paths([output], [program_file, source], force=force)
    from eric_fast.pipeline import find_device, predict_activations
    from eric_fast.text import load_program

    program = load_program(program_file)
    find_device(engine)
    with show_progress() as progress:
        activations = _find_activations(
            program,
            source,
            model,
            weights,
            layers=[program.layer_to_start(start)],
            dtype=dtype,
            device=device,
            batch_size=batch_size,
            workers=workers,
            limit=limit,
            skip_bad_images=skip_bad_images,
            progress=progress,
        )
        predictions = predict_activations(program, activations, start=start, engine=engine)
    names = [*program.classes, ""]  # -1, nothing, is the last
    with replace_file(output, force=force) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prediction", "rule"])
        for image, answer, rule in zip(
            activations.ids, predictions.classes.tolist(), predictions.rules.tolist(), strict=True
        ):
            writer.writerow([image, names[answer], rule + 1 if rule >= 0 else ""])
    stdout.print(f"wrote {output}: {activations.n_images:,} rows", markup=False)


@app.command()
def show(
    program_file: ProgramFile,
    class_name: Annotated[str | None, typer.Option("--class", metavar="NAME", help="Rules of this class.")] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Rules that define this kernel, and that use it, such as features.19:17."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Rules at most, the most covering first; 0: all.")] = 10,
) -> None:
    """Show rules in words, with their support, coverage and confidence on the training images."""
    from eric_fast.report import describe_program, select_rules
    from eric_fast.text import load_program

    program = load_program(program_file)
    if limit < 0:
        raise SettingError(f"--limit must be 0 (all) or more, not {limit}")
    stdout.print(describe_program(program), markup=False)
    texts = select_rules(program, class_name, kernel)
    for text in texts[: limit or None]:
        stdout.print(text, markup=False)
    if limit and len(texts) > limit:
        stdout.print(f"... and {len(texts) - limit:,} more; --limit 0 shows all")


def _find_activations(
    program: "Program",
    source: str,
    model: str | None,
    weights: str | None,
    *,
    layers: "Sequence[str]",
    progress: "Progress",
    **settings: Any,
) -> "Activations":
    """A capture as it was stored, or one made now of these layers, with the program's norm."""
    from eric_fast.capture import capture_activations, is_capture, list_layers, load_activations, load_model, open_data
    from eric_fast.pipeline import check_fingerprint

    if is_capture(source):
        given = {"model": model, "weights": weights, **settings}
        useless = [f"--{name.replace('_', '-')}" for name, value in given.items() if value != _NETWORK_DEFAULTS[name]]
        if useless:
            raise SettingError(f"{source} is a capture, where {', '.join(useless)} means nothing; leave it out")
        known = list_layers(source)
        return load_activations(source, [layer for layer in known if layer in layers])
    images = open_data(source)
    if model is None:
        raise SettingError(f"{source} is not a capture but {len(images):,} images; name the network too, with --model")
    network = load_model(model, weights)
    check_fingerprint(program, network.fingerprint)
    norm = program.quantiser.norm
    return capture_activations(network, images, layers=layers, norm=norm, progress=progress, **settings)


def _own_name() -> str:
    """How this command can be called again: it may not be on the PATH."""
    if Path(sys.argv[0]).name != "eric-fast":
        return "python -m eric_fast"
    return "eric-fast" if shutil.which("eric-fast") else sys.argv[0]


def _check_paths(files: "Sequence[Path | None]", others: "Sequence[Path | str]", *, force: bool) -> None:
    """Refuse, before any work, files that can't be written or that are another path of the same command."""
    taken = {Path(other).resolve() for other in others}
    for path in files:
        if path is None:
            continue
        check_file(path, force=force)
        if path.resolve() in taken:
            raise OutputError(f"{path} is given twice in one command; write to another path")
        taken.add(path.resolve())


def _split_commas(names: list[str] | None) -> list[str] | None:
    """None where the option isn't given; an option given without a name stays, to be refused."""
    return None if names is None else [part.strip() for name in names for part in name.split(",")]
