"""`eric-fast extract`: a program from the capture of the training images."""

import time
from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, describe_memory, limit_memory, own_name, split_commas
from eric_fast.cli.options import (
    Criterion,
    Force,
    Json,
    Literals,
    MaxWeight,
    Memory,
    NVotes,
    Rules,
    Target,
    ThresholdText,
    VotesText,
)
from eric_fast.cli.stopping import stop_gently
from eric_fast.errors import say_count
from eric_fast.output import write_json
from eric_fast.processes import join_processes
from eric_fast.show.console import show_progress, stdout


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
    threshold: ThresholdText = "mean",
    grid: Annotated[
        int, typer.Option(metavar="1|2", help="2: atoms of the quarters of maps too, of a capture with --grid 2.")
    ] = 1,
    criterion: Criterion = "entropy",
    max_depth: Annotated[int | None, typer.Option(help="Literals in a rule at most.")] = None,
    min_leaf: Annotated[str, typer.Option(help="Images a rule covers at least: a number, or a share of all.")] = "0.01",
    max_rules: Annotated[int | None, typer.Option(help="Leaves of each tree at most, the best first.")] = None,
    min_split: Annotated[
        str, typer.Option(help="Images in a node that is split at least: a number, or a share.")
    ] = "2",
    min_gain: Annotated[float, typer.Option(help="What a split must lower the impurity by at least.")] = 0.0,
    preset: Annotated[
        str | None,
        typer.Option(
            help="nesyfold: what NeSyFOLD does, on a capture made with --norm spectral; sets --threshold, --rules, "
            "--ratio and --min-leaf."
        ),
    ] = None,
    rules: Rules = "trees",
    kernel_rules: Annotated[str | None, typer.Option(help="In place of --rules, for kernels.")] = None,
    class_rules: Annotated[str | None, typer.Option(help="In place of --rules, for classes.")] = None,
    literals: Literals = 16,
    max_weight: MaxWeight = 7,
    ratio: Annotated[
        float, typer.Option(help="With --rules fold: wrong images for each right one, before exceptions are sought.")
    ] = 0.5,
    confidence: Annotated[
        float, typer.Option(help="With --rules fold: what the lower bound of a rule's confidence must reach.")
    ] = 0.0,
    votes: VotesText = None,
    n_votes: NVotes = 100,
    target: Target = "model",
    grown_on: Annotated[
        str,
        typer.Option(
            help="What each layer's rules learn from: true bits, those predicted by the rules below, or, with weights, "
            "both."
        ),
    ] = "true",
    all_kernels: Annotated[
        bool, typer.Option("--all-kernels", help="Rules for kernels that no rule mentions too.")
    ] = False,
    simplify: Annotated[
        bool, typer.Option("--simplify/--no-simplify", help="Fewer rules with the same answers on every input.")
    ] = True,
    ccp_alpha: Annotated[float, typer.Option(help="Cost-complexity pruning, as scikit-learn's.")] = 0.0,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Drop rules and literals while the loss on held-back images stays within this share."),
    ] = None,
    hold_back: Annotated[float, typer.Option(help="With --max-loss: the share of images held back.")] = 0.2,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Start no more trees after that; layers that are finished are kept."),
    ] = None,
    memory: Memory = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Extract a logic program from a capture of the training images.

    `torchrun --nproc-per-node=K -m eric_fast extract ...` shares the work out to K processes: the program is the same.

    Ctrl-C keeps the layers that are finished, from the classes down; a second one ends at once.
    """
    check_paths([output, json], [capture], force=force)
    from eric_fast.extract import GROWN_LITERALS, GROWN_RULES, ExtractOptions, WeightOptions, apply_preset, parse_count
    from eric_fast.memory import find_peak_memory
    from eric_fast.program.words import describe_weights
    from eric_fast.runs import approximate_model
    from eric_fast.store import open_capture
    from eric_fast.text import save_program

    options = ExtractOptions(
        criterion=criterion,
        max_depth=max_depth,
        min_leaf=parse_count("min leaf", min_leaf),
        max_rules=max_rules,
        min_split=parse_count("min split", min_split),
        min_gain=min_gain,
        ccp_alpha=ccp_alpha,
        rules=rules,
        kernel_rules=kernel_rules,
        class_rules=class_rules,
        weight_options=WeightOptions(literals, max_weight),
        ratio=ratio,
        confidence=confidence,
        votes=votes,
        n_votes=n_votes,
        layers=split_commas(layers),
        threshold=threshold,
        grid=grid,
        target=target,
        grown_on=grown_on,
        all_kernels=all_kernels,
        simplify=simplify,
        max_loss=max_loss,
        hold_back=hold_back,
    )
    limit = limit_memory(memory)
    processes = join_processes()
    opened = open_capture(capture)
    if preset is not None:
        options = apply_preset(preset, options, opened.settings.norm)
    with stop_gently(time_limit) as stop, show_progress() as progress:
        start = time.perf_counter()
        program = approximate_model(opened, options, processes=processes, memory=limit, progress=progress, stop=stop)
        seconds = time.perf_counter() - start
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
        "stopped": stop(),
        "seconds": seconds,
        "n_processes": processes.count,
        "memory_limit": limit,
        "peak_memory": find_peak_memory(),
    }
    if json is not None:
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
    if stop.signal_number is not None:
        raise typer.Exit(128 + stop.signal_number)
