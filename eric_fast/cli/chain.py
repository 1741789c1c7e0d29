"""`eric-fast chain`: what starting lower costs, as tables, JSON and a picture."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, read_fields, split_commas
from eric_fast.cli.options import (
    As,
    Criterion,
    Fit,
    Force,
    Json,
    Literals,
    MaxWeight,
    NVotes,
    Rules,
    Target,
    ThresholdText,
    VoteLayers,
    VotesText,
)
from eric_fast.cli.stopping import stop_gently
from eric_fast.errors import SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress
from eric_fast.show.printer import Printer


def chain(
    context: typer.Context,
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="The capture from which programs are extracted.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="The capture on which they are scored.")],
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Two or more layers: all (the default), or names or shell patterns, separated by commas."),
    ] = None,
    min_leaf: Annotated[
        list[str] | None,
        typer.Option(
            help="The fewest images that a rule covers: a number, or a share of all. Several may be given, separated "
            "by commas; the tables by layer show the first. By default 0.005. Weight rules have no such limit."
        ),
    ] = None,
    threshold: ThresholdText = "split",
    criterion: Criterion = "entropy",
    rules: Rules = "trees",
    literals: Literals = 16,
    max_weight: MaxWeight = 7,
    votes: VotesText = None,
    n_votes: NVotes = 100,
    vote_layers: VoteLayers = "last",
    fit: Fit = "counts",
    target: Target = "model",
    bound: Annotated[
        bool,
        typer.Option(
            "--bound", help="Also show what the bits allow: the fidelity of gradient boosting from them. Takes minutes."
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the result into this .png or .svg file.")
    ] = None,
    json: Json = None,
    as_: As = None,
    force: Force = False,
) -> None:
    """Extract a chain from each layer up, on true and on predicted bits, and show what each further layer costs.

    On true bits, the rules of a layer learn from the network's bits of the layer below. On predicted bits, they learn
    from what the rules below answer, errors included. Without a chain, class rules use the start layer directly.
    Weight rules have votes for each start.

    Chains from the last layer are made first. Ctrl-C stops, and keeps those that are finished. A second Ctrl-C stops
    at once.
    """
    check_paths([json, plot], [train, test], force=force)
    printer = Printer(as_)
    if train.resolve() == test.resolve():
        raise SettingError(f"{train} is given twice; score programs on images from which they weren't extracted")
    from eric_fast.chains import MIN_LEAVES, measure_chains
    from eric_fast.extract import TreeOptions, WeightOptions, parse_count
    from eric_fast.show.chain_plot import save_plot
    from eric_fast.show.chains import tabulate_chains
    from eric_fast.show.style import check_plot
    from eric_fast.store import open_capture

    if plot is not None:
        check_plot(plot)
    parsed = {"weight_options": WeightOptions(literals, max_weight), "min_leaf": TreeOptions.min_leaf}
    options = TreeOptions(**{**read_fields(context, TreeOptions), **parsed})
    usual = [options.min_leaf] if rules == "weights" else MIN_LEAVES  # which trees and default rules alone have
    min_leaves = usual if min_leaf is None else [parse_count("min leaf", text) for text in split_commas(min_leaf) or []]

    with stop_gently(None) as stop, show_progress() as progress:
        study = measure_chains(
            open_capture(train),
            open_capture(test),
            layers=split_commas(layers) or "all",
            threshold=threshold,
            target=target,
            options=options,
            min_leaves=min_leaves,
            with_bounds=bound,
            progress=progress,
            stop=stop,
        )
    write_json(study.to_dict(), json, force=force)
    if plot is not None:
        save_plot(study, plot, force=force)
    accuracy = "unknown, as there are no labels" if study.model_accuracy is None else f"{study.model_accuracy:.4f}"
    if stop():
        printer.say(f"stopped: of these chains, those from {', '.join(study.layers)} are finished")
    printer.say(
        f"{study.n_images:,} images, programs from {study.n_training_images:,} others; model accuracy {accuracy}"
    )
    for table in tabulate_chains(study):
        printer.show(table)
    if plot is not None:
        printer.say(f"wrote {plot}")
    if stop.signal_number is not None:
        raise typer.Exit(128 + stop.signal_number)
