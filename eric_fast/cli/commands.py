"""The commands."""

import csv
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from eric_fast.cli.analyse import analyse
from eric_fast.cli.capture import capture, pack, verify
from eric_fast.cli.chain import chain
from eric_fast.cli.compare import compare
from eric_fast.cli.explain import explain
from eric_fast.cli.inputs import (
    NETWORK_DEFAULTS,
    check_paths,
    describe_memory,
    find_activations,
    limit_memory,
    open_stored,
    own_name,
    refuse_useless,
    split_commas,
)
from eric_fast.cli.label import label
from eric_fast.cli.options import (
    DATA_HELP,
    BatchSize,
    Compile,
    Criterion,
    Device,
    Dtype,
    Engine,
    Force,
    Json,
    Limit,
    Memory,
    MemoryFormat,
    Model,
    ProgramFile,
    SkipBad,
    Start,
    Target,
    Threshold,
    Weights,
    Workers,
)
from eric_fast.cli.page import report
from eric_fast.cli.stopping import stop_gently
from eric_fast.cli.tables import SOURCE_HELP, convert, load_any, predict_table
from eric_fast.console import show_notes, show_progress, stdout
from eric_fast.errors import SettingError, say_count
from eric_fast.output import check_folder, replace_file, write_json
from eric_fast.processes import is_one_of_many, join_processes

SPREAD_COMMANDS = ("capture", "extract", "evaluate")  # what torchrun may start
app = typer.Typer(
    name="eric-fast",
    help="Turn a trained CNN into a logic program over its kernels (ERIC, arXiv 2010.09452), and evaluate it.\n\n"
    "The way: capture (run the network over images) -> extract (a program from the training capture) -> "
    "evaluate (the program on the test capture) -> show, predict. `eric-fast demo` does it all on real digits.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    elif is_one_of_many() and context.invoked_subcommand not in SPREAD_COMMANDS:
        raise SettingError(
            f"many processes share the work of {', '.join(SPREAD_COMMANDS)}; start '{context.invoked_subcommand}' "
            "without torchrun"
        )


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where everything goes.")] = Path(
        "eric-demo"
    ),
    json: Json = None,
    force: Force = False,
) -> None:
    """Train a small CNN on handwritten digits, extract its program, and score it: seconds, nothing to download."""
    check_paths([json], [], force=force)
    check_folder(output, force=force, marker="metrics.json")
    with show_progress() as progress:
        progress("load torch", 0, 1)
        from eric_fast.demo import METRICS, REPORT, run_demo
        from eric_fast.report import describe_class_rule, pick_covering_rules, tabulate_scores

        progress("load torch", 1, 1)
        result = run_demo(output, force=force, progress=progress)
    top = result.scores[-1]
    if json is not None:
        write_json(result.to_dict(), json, force=force)
    stdout.print(f"\nA CNN for 8x8 digits: accuracy {top.model_accuracy:.4f} on {top.n_images} test images.")
    stdout.print("Its program, on the same images, given the bits of one layer and chained from there to the class:\n")
    stdout.print(tabulate_scores(result.scores))
    stdout.print(
        f"evaluated at {result.images_per_s:,.0f} images a second from the packed bits of {top.start_layer}, "
        f"{top.n_images} at a time\n"
    )
    for number in pick_covering_rules(result.program, 3):
        stdout.print(describe_class_rule(result.program, number), markup=False)
    stdout.print(
        f"\nwrote {output / 'program.lp'}, {output / METRICS}, and the network and its captures beside them\n"
        f"to look at: {output / REPORT / 'index.html'}, which opens in any browser\n"
        "next:\n"
        f"  {own_name()} show {output}/program.lp --class 8\n"
        f"  {own_name()} evaluate {output}/program.lp {output}/test --start conv3.2\n"
        f"  {own_name()} predict {output}/program.lp digits/test --model {output}/digits_cnn.py:build -o answers.csv",
        markup=False,
    )


app.command()(capture)


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
    threshold: Threshold = "mean",
    criterion: Criterion = "entropy",
    max_depth: Annotated[int | None, typer.Option(help="Literals in a rule at most.")] = None,
    min_leaf: Annotated[str, typer.Option(help="Images a rule covers at least: a number, or a share of all.")] = "0.01",
    max_rules: Annotated[int | None, typer.Option(help="Leaves of each tree at most, the best first.")] = None,
    min_split: Annotated[
        str, typer.Option(help="Images in a node that is split at least: a number, or a share.")
    ] = "2",
    min_gain: Annotated[float, typer.Option(help="What a split must lower the impurity by at least.")] = 0.0,
    target: Target = "model",
    grown_on: Annotated[
        str,
        typer.Option(help="What each layer's rules learn from: true bits, or those predicted by the rules below."),
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
    from eric_fast.extract import GROWN_LITERALS, GROWN_RULES, TreeOptions, parse_count
    from eric_fast.memory import find_peak_memory
    from eric_fast.pipeline import approximate_model, match_layers
    from eric_fast.store import open_capture
    from eric_fast.streams import approximate_capture
    from eric_fast.text import save_program

    leaf, split = parse_count("min leaf", min_leaf), parse_count("min split", min_split)
    options = TreeOptions(criterion, max_depth, leaf, max_rules, split, min_gain, ccp_alpha=ccp_alpha)
    if max_loss is not None and is_one_of_many():
        raise SettingError("--max-loss measures one program in one process; start it without torchrun")
    limit = limit_memory(memory)
    processes = join_processes()
    opened = open_capture(capture)
    wanted = match_layers(split_commas(layers), opened.layers)
    settings: dict[str, Any] = {"threshold": threshold, "target": target, "options": options, "grown_on": grown_on}
    settings |= {"all_kernels": all_kernels, "simplify": simplify}
    with stop_gently(time_limit) as stop, show_progress() as progress:
        settings |= {"progress": progress, "stop": stop}
        start = time.perf_counter()
        if max_loss is None:
            program = approximate_capture(opened, layers=wanted, processes=processes, memory=limit, **settings)
        else:
            activations = opened.read_activations(wanted)
            program = approximate_model(activations, layers="all", max_loss=max_loss, hold_back=hold_back, **settings)
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
        f"{say_count(len(program.kernel_rules), 'kernel rule')}, {say_count(program.n_literals, 'literal')}, "
        f"from {say_count(opened.n_images, 'image')} in {seconds:.1f} s{grown}\n"
        f"{describe_memory(limit)}\n"
        f"wrote {output}; next: {own_name()} evaluate {output} TEST_CAPTURE, {own_name()} show {output}",
        markup=False,
    )
    if stop.signal_number is not None:
        raise typer.Exit(128 + stop.signal_number)


@app.command()
def evaluate(
    context: typer.Context,
    program_file: ProgramFile,
    source: Annotated[str, typer.Argument(metavar="DIR|DATA", help="A capture, or images: " + DATA_HELP)],
    chains: Annotated[bool, typer.Option("--chains", help="Score it from each of its layers.")] = False,
    start: Start = None,
    engine: Engine = "auto",
    model: Model = None,
    weights: Weights = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    memory_format: MemoryFormat = "contiguous",
    compile: Compile = False,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    memory: Memory = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Score a program: fidelity to the model, accuracy, coverage, size, confusion.

    A capture is read shard by shard, by many processes under `torchrun --nproc-per-node=K -m eric_fast evaluate ...`.
    """
    check_paths([json], [program_file, source], force=force)
    from eric_fast.pipeline import check_engine, evaluate_program
    from eric_fast.report import describe_disagreements, fits_terminal, tabulate_confusion, tabulate_scores
    from eric_fast.store import is_capture
    from eric_fast.streams import evaluate_capture
    from eric_fast.text import load_program

    program = load_program(program_file)
    layers = list(program.layers) if chains else [program.layer_to_start(start)]
    check_engine(engine)
    limit = limit_memory(memory)
    starts = layers if chains and start in (None, layers[0]) else [*(layers if chains else []), start]
    processes = join_processes()
    with show_progress() as progress:
        if is_capture(source):
            opened = open_stored(context, program, source, layers)
            n_bad = opened.settings.n_bad_images
            more: dict[str, Any] = {"processes": processes, "memory": limit, "progress": progress}
            scores = [evaluate_capture(program, opened, start=layer, engine=engine, **more) for layer in starts]
        else:
            if processes.count > 1:
                raise SettingError(f"{source} is not a capture: capture its images first, then let processes share it")
            activations = find_activations(context, program, source, layers, progress)
            n_bad = activations.settings.n_bad_images
            scores = [evaluate_program(program, activations, start=layer, engine=engine) for layer in starts]
    if not processes.is_first:
        return
    rows = scores[: len(layers)] if chains else []
    score = scores[0] if starts is layers else scores[-1]
    if json is not None:
        content = {
            **score.to_dict(),
            "classes": list(program.classes),
            "chains": [row.to_dict(with_confusion=False) for row in rows],
        }
        write_json({**content, "n_bad_images": n_bad}, json, force=force)
    if n_bad:
        stdout.print(f"left out {say_count(n_bad, 'image')} that can't be read")
    accuracy = "unknown, as labels are" if score.model_accuracy is None else f"{score.model_accuracy:.4f}"
    stdout.print(f"{score.n_images:,} images; model accuracy {accuracy}")
    stdout.print(tabulate_scores(rows or [score]))
    if fits_terminal(program):
        stdout.print(tabulate_confusion(program, score))
    else:
        for line in describe_disagreements(program, score):
            stdout.print(line, markup=False)


app.command()(pack)


app.command()(verify)


app.command()(chain)


app.command()(explain)


app.command()(compare)


app.command()(report)


app.command()(convert)


@app.command()
def predict(
    context: typer.Context,
    model_file: Annotated[str, typer.Argument(metavar="MODEL", help=SOURCE_HELP)],
    source: Annotated[
        str,
        typer.Argument(
            metavar="TABLE|DATA|DIR",
            help="For a model of tables a .csv, .parquet, .npy or .npz file. For a program over a network's kernels a "
            "capture, or images: " + DATA_HELP,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The CSV file to write.")],
    scores: Annotated[bool, typer.Option("--scores", help="With a table: write probabilities or scores too.")] = False,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV table starts with the columns' names.")
    ] = True,
    start: Start = None,
    engine: Engine = "auto",
    model: Model = None,
    weights: Weights = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    memory_format: MemoryFormat = "contiguous",
    compile: Compile = False,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    force: Force = False,
) -> None:
    """Write one row per row of a table, or per image.

    Of a table: prediction, the class as the model spells it, empty where no rule fires. Of images: id, prediction, and
    the number of the rule that decided.
    """
    check_paths([output], [model_file, source], force=force)
    from eric_fast.pipeline import check_engine, predict_activations
    from eric_fast.store import is_capture
    from eric_fast.streams import predict_capture

    check_engine(engine)
    loaded = load_any(model_file)
    program = loaded.program
    if program.quantiser.columns:
        refuse_useless(context, {**NETWORK_DEFAULTS, "start": None}, f"{model_file} answers about the rows of a table")
        predict_table(loaded, source, output, engine=engine, scores=scores, header=header, force=force)
        return
    refuse_useless(context, {"scores": False, "header": True}, f"{model_file} is over the kernels of a network")
    layer = program.layer_to_start(start)
    names = [*program.classes, ""]  # -1, nothing, is the last
    n_rows = 0
    with (
        show_progress() as progress,
        replace_file(output, force=force) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["id", "prediction", "rule"])
        if is_capture(source):
            opened = open_stored(context, program, source, [layer])
            answers = predict_capture(program, opened, start=start, engine=engine, progress=progress)
        else:
            activations = find_activations(context, program, source, [layer], progress)
            answers = iter([(activations.ids, predict_activations(program, activations, start=start, engine=engine))])
        for ids, found in answers:
            n_rows += len(ids)
            for image, answer, rule in zip(ids, found.classes.tolist(), found.rules.tolist(), strict=True):
                writer.writerow([image, names[answer], rule + 1 if rule >= 0 else ""])
    stdout.print(f"wrote {output}: {n_rows:,} rows", markup=False)


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


app.command()(analyse)


app.command()(label)
