"""`eric-fast extract`: a program from the capture of the training images."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eric_fast.cli.inputs import (
    check_paths,
    check_same_task,
    describe_memory,
    limit_memory,
    own_name,
    read_fields,
    split_commas,
)
from eric_fast.cli.options import (
    Criterion,
    Fit,
    Force,
    GridText,
    Json,
    LiteralsText,
    MaxWeight,
    Memory,
    NVotes,
    PerKernel,
    Rules,
    Target,
    ThresholdText,
    VoteLayers,
    VotesText,
)
from eric_fast.cli.stopping import stop_gently
from eric_fast.errors import say_count
from eric_fast.output import write_json
from eric_fast.processes import join_processes
from eric_fast.show.console import show_progress, stdout

if TYPE_CHECKING:
    from eric_fast.training import Alternative


def extract(
    context: typer.Context,
    capture: Annotated[Path, typer.Argument(metavar="DIR", help="The capture of the training images.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The program to write.")],
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="The layers of the chain: all, or names or shell patterns, separated by commas. By default only the "
            "last layer, which gives class rules alone."
        ),
    ] = None,
    threshold: ThresholdText = "split",
    per_kernel: PerKernel = 1,
    grid: GridText = "1",
    criterion: Criterion = "entropy",
    max_depth: Annotated[int | None, typer.Option(help="The most literals in a rule.")] = None,
    min_leaf: Annotated[
        str, typer.Option(help="The fewest images that a rule covers: a number, or a share of all.")
    ] = "0.01",
    max_rules: Annotated[
        int | None, typer.Option(help="The most leaves of each tree; the best splits come first.")
    ] = None,
    min_split: Annotated[
        str, typer.Option(help="The fewest images in a node that is split: a number, or a share of all.")
    ] = "2",
    min_gain: Annotated[float, typer.Option(help="The least by which a split must lower the impurity.")] = 0.0,
    preset: Annotated[
        str | None,
        typer.Option(
            help="nesyfold: learn as NeSyFOLD does, from a capture made with --norm spectral. Sets --threshold, "
            "--rules, --ratio and --min-leaf."
        ),
    ] = None,
    rules: Rules = "trees",
    kernel_rules: Annotated[str | None, typer.Option(help="The rules of kernels, if other than --rules.")] = None,
    class_rules: Annotated[str | None, typer.Option(help="The rules of classes, if other than --rules.")] = None,
    literals: LiteralsText = "16",
    max_weight: MaxWeight = 7,
    ratio: Annotated[
        float,
        typer.Option(
            help="With --rules fold: wrong images per right one that a rule may have before exceptions are sought."
        ),
    ] = 0.5,
    confidence: Annotated[
        float, typer.Option(help="With --rules fold: the least that the lower bound of a rule's confidence may be.")
    ] = 0.0,
    votes: VotesText = None,
    n_votes: NVotes = 100,
    vote_layers: VoteLayers = "last",
    fit: Fit = "counts",
    target: Target = "model",
    grown_on: Annotated[
        str,
        typer.Option(
            help="The bits that each layer's rules learn from: true (the network's), predicted (those of the rules "
            "below) or, with weights, both."
        ),
    ] = "true",
    all_kernels: Annotated[
        bool, typer.Option("--all-kernels", help="Also learn rules for kernels that no rule mentions.")
    ] = False,
    simplify: Annotated[
        bool,
        typer.Option(
            "--simplify/--no-simplify",
            help="Whether to reduce the rules to fewer ones that answer the same on every input.",
        ),
    ] = True,
    ccp_alpha: Annotated[float, typer.Option(help="Cost-complexity pruning, as in scikit-learn.")] = 0.0,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Drop rules and literals as long as the loss on held-back images stays within this share."),
    ] = None,
    hold_back: Annotated[float, typer.Option(help="With --max-loss: the share of the images that is held back.")] = 0.2,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Start no more trees after this time; finished layers are kept."),
    ] = None,
    memory: Memory = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Extract a logic program from a capture of the training images.

    `torchrun --nproc-per-node=K -m eric_fast extract ...` shares the work among K processes. The program is the same.

    Ctrl-C stops, and keeps the layers that are finished, from the classes down. A second Ctrl-C stops at once.
    """
    check_paths([output, json], [capture], force=force)
    from eric_fast.extract import GROWN_LITERALS, GROWN_RULES, ExtractOptions, WeightOptions, apply_preset, parse_count
    from eric_fast.processes.memory import find_peak_memory
    from eric_fast.program.words import describe_weights
    from eric_fast.runs import approximate_model
    from eric_fast.store import open_capture
    from eric_fast.text import save_program
    from eric_fast.training import choose_options, measure_weight_rules, select_training

    parsed = {
        "min_leaf": parse_count("min leaf", min_leaf),
        "min_split": parse_count("min split", min_split),
        "weight_options": WeightOptions(_parse_whole(literals), max_weight),
        "layers": split_commas(layers),
        "grid": _parse_whole(grid),
    }
    options = ExtractOptions(**{**read_fields(context, ExtractOptions), **parsed})
    limit = limit_memory(memory)
    processes = join_processes()
    opened = open_capture(capture)
    if processes.count > 1:
        check_same_task(processes, opened)
    if preset is not None:
        options = apply_preset(preset, options, opened.settings.norm)
    with stop_gently(time_limit) as stop, show_progress() as progress:
        start = time.perf_counter()
        training = select_training(opened, options, processes, warn=False)
        options, chosen = choose_options(training, options, progress=progress)
        program = approximate_model(opened, options, processes=processes, memory=limit, progress=progress, stop=stop)
        seconds = time.perf_counter() - start
        suggests = options.list_kinds() == {"trees"} and not stop()
        other = measure_weight_rules(opened, options, program, processes) if suggests else None
    if not processes.is_first:
        return
    save_program(program, output, force=force)
    figures = {
        "n_images": program.n_images,
        "layers": list(program.layers),
        "n_class_rules": len(program.class_rules),
        "n_kernel_rules": len(program.kernel_rules),
        "n_literals": program.n_literals,
        "n_integers": program.n_integers,
        **{key: int(dict(program.settings)[key]) for key in (GROWN_RULES, GROWN_LITERALS)},
        "chosen": list(chosen),
        "weight_rules": None if other is None else other.to_dict(),
        "stopped": stop(),
        "seconds": seconds,
        "n_processes": processes.count,
        "memory_limit": limit,
        "peak_memory": find_peak_memory(),
    }
    write_json(figures, json, force=force)
    grown = f" (as grown: {figures[GROWN_RULES]:,} rules, {figures[GROWN_LITERALS]:,} literals)"
    stdout.print(
        f"extracted {say_count(len(program.class_rules), 'class rule')} and "
        f"{say_count(len(program.kernel_rules), 'kernel rule')}, {say_count(program.n_literals, 'literal')}"
        f"{describe_weights(program)}, "
        f"from {say_count(opened.n_images, 'image')} in {seconds:.1f} s{grown}\n"
        f"{describe_memory(limit)}\n"
        f"wrote {output}; next: {own_name()} evaluate {output} TEST_CAPTURE, {own_name()} show {output}",
        markup=False,
    )
    for line in chosen:
        stdout.print(line, markup=False)
    if other is not None:
        stdout.print(_describe_alternative(other, capture, output, _list_kept(context)), markup=False)
    if stop.signal_number is not None:
        raise typer.Exit(128 + stop.signal_number)


def _parse_whole(text: str) -> int | str:
    """A number, or a text that isn't one, which options know or refuse."""
    return int(text) if text.strip().isdecimal() else text


def _list_kept(context: typer.Context) -> list[str]:
    """The options that weight rules have too, as words of a command, where they differ from their defaults."""
    options = {str(option.name): option for option in context.command.params}
    words: list[str] = []
    for name in ("layers", "threshold", "per_kernel", "criterion", "grid", "target"):
        given, option = context.params[name], options[name]
        if given and given != option.default:
            values = [given] if isinstance(given, str | int) else given
            words += [word for value in values for word in (option.opts[0], str(value))]
    return words


def _describe_alternative(other: "Alternative", capture: Path, output: Path, kept: list[str]) -> str:
    """What weight rules keep in place of trees, and the command that learns them, with the options that are kept."""
    words = ["extract", str(capture), "--votes", "single", "--n-votes", str(other.n_votes)]
    if other.n_literals is not None:
        words += ["--rules", "weights", "--literals", str(other.n_literals)]
    if other.options.grown_on != "true":
        words += ["--grown-on", other.options.grown_on]
    words += [*kept, "-o", str(output.with_name(f"{output.stem}_weights.lp"))]
    n_rules, n_literals, n_integers = other.size
    return (
        f"of {say_count(other.n_images, 'training image')} held back, trees like these keep {other.trees:.3f}, weight "
        f"rules of that size ({say_count(n_rules, 'rule')}, {say_count(n_literals, 'literal')}, "
        f"{say_count(n_integers, 'integer')}) {other.weights:.3f}: {own_name()} {shlex.join(words)}"
    )
