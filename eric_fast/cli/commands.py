"""The commands: each is a function of a module of this folder, but for the two that are short."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.analyse import analyse
from eric_fast.cli.capture import capture
from eric_fast.cli.chain import chain
from eric_fast.cli.compare import compare
from eric_fast.cli.evaluate import evaluate, predict
from eric_fast.cli.explain import explain
from eric_fast.cli.extract import extract
from eric_fast.cli.inputs import check_paths, own_name
from eric_fast.cli.label import label
from eric_fast.cli.options import As, Force, GroupFile, Json, ProgramFile
from eric_fast.cli.pack import pack, verify
from eric_fast.cli.page import report
from eric_fast.cli.register import add_command
from eric_fast.cli.tables import convert
from eric_fast.errors import ProgramError, SettingError
from eric_fast.output import DEMO, check_folder, write_json
from eric_fast.processes import is_one_of_many
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.show.printer import Printer
from eric_fast.version import __version__

SPREAD_COMMANDS = ("capture", "extract", "evaluate")  # what torchrun may start
app = typer.Typer(
    name="eric-fast",
    help="Turn a trained CNN into a logic program over its kernels (ERIC, arXiv 2010.09452), and evaluate it.\n\n"
    "The steps: capture (run the network over images) -> extract (a program from the training capture) -> "
    "evaluate (the program on the test capture) -> show, predict. `eric-fast demo` does all of it on handwritten "
    "digits.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    show_notes()
    if show_version:
        stdout.print(f"eric-fast {__version__}")
    elif context.invoked_subcommand is None:
        stdout.print(context.get_help(), markup=False)
    elif is_one_of_many() and context.invoked_subcommand not in SPREAD_COMMANDS:
        raise SettingError(
            f"torchrun only shares the work of {', '.join(SPREAD_COMMANDS)}; start '{context.invoked_subcommand}' "
            "without torchrun"
        )


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")] = Path(
        "eric-demo"
    ),
    json: Json = None,
    force: Force = False,
) -> None:
    """Train a small CNN on handwritten digits, extract its program and score it, in seconds and without downloads."""
    check_paths([json], [], force=force)
    check_folder(output, force=force, kind=DEMO)
    with show_progress() as progress:
        progress("load torch", 0, 1)
        from eric_fast.demo.run import PAGE_FOLDER, WEIGHTS, run_demo
        from eric_fast.program.words import describe_class_rule, pick_covering_rules
        from eric_fast.show.scores import tabulate_scores

        progress("load torch", 1, 1)
        result = run_demo(output, force=force, progress=progress)
    top = result.scores[-1]
    write_json(result.to_dict(), json, force=force)
    stdout.print(f"\nA CNN for 8x8 digits: accuracy {top.model_accuracy:.4f} on {top.n_images} test images.")
    stdout.print("Its program, on the same images, given the bits of one layer and chained from there to the class.\n")
    stdout.print("Rules from trees:")
    stdout.print(tabulate_scores(result.scores))
    stdout.print("Weight rules, and votes for the classes from each start:")
    stdout.print(tabulate_scores(result.weight_scores))
    stdout.print(
        f"evaluated {result.images_per_s:,.0f} images a second from the packed bits of {top.start_layer}, "
        f"{top.n_images} at a time\n"
    )
    for number in pick_covering_rules(result.program, 3):
        stdout.print(describe_class_rule(result.program, number), markup=False)
    stdout.print(
        f"\nwrote {output / 'program.lp'}, {output / WEIGHTS}, {output / DEMO.marker}, and the network and its "
        f"captures\nto look at: {output / PAGE_FOLDER / 'index.html'}, which opens in any browser\n"
        "next:\n"
        f"  {own_name()} show {output}/program.lp --class 8\n"
        f"  {own_name()} evaluate {output}/program.lp {output}/test --start conv3.2\n"
        f"  {own_name()} predict {output}/program.lp digits/test --model {output}/digits_cnn.py:build -o answers.csv",
        markup=False,
    )


def show(
    program_file: ProgramFile,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Show the rules of this class.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show the rules that define or use this kernel, such as features.19:17."),
    ] = None,
    groups: GroupFile = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --groups: show the rules of the classes of this group.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The most rules to show, those that cover most first; 0: all.")] = 10,
    settings: Annotated[bool, typer.Option("--settings", help="Also show how the program was made.")] = False,
    as_: As = None,
) -> None:
    """Show rules in words, with their support, coverage and confidence on the training images; votes as a sheet."""
    printer = Printer(as_)
    from eric_fast.class_groups import read_class_groups
    from eric_fast.frontends.registry import check_is_text
    from eric_fast.program.confidence import list_doubtful_rules
    from eric_fast.program.words import (
        describe_program,
        name_atom,
        select_rules,
        tabulate_class_rules,
        tabulate_kernel_rules,
    )
    from eric_fast.show.sheet import list_sheets
    from eric_fast.text import load_program

    try:
        program = load_program(program_file)
    except ProgramError:
        check_is_text(program_file)  # says better what another tool's file is
        raise
    if limit < 0:
        raise SettingError(f"--limit must be 0 (all) or more, not {limit}")
    if (groups is None) != (group is None) or (group is not None and class_name is not None):
        raise SettingError("to show the rules of a group, give both --groups FILE and --group NAME, without --class")
    of_group = (
        None if groups is None or group is None else read_class_groups(groups, program.classes).list_classes(group)
    )
    printer.say(describe_program(program, with_settings=settings))
    if not printer.is_for_people:
        texts = select_rules(program, class_name, kernel)  # refuses names that there are not
        columns = tabulate_class_rules(program) if kernel is None else tabulate_kernel_rules(program)
        wanted = name_atom(program, program.atom_named(kernel)) if kernel is not None else class_name
        heads = columns["class" if kernel is None else "kernel"]
        kept = [i for i, head in enumerate(heads) if wanted in (None, head) and (of_group is None or head in of_group)]
        kept = kept[: limit or None]
        printer.show_columns({name: [column[i] for i in kept] for name, column in columns.items()})
        return
    sheets = [] if class_name or kernel or group else list(list_sheets(program, limit))
    for sheet in sheets:
        stdout.print(sheet)
    if sheets:
        return
    texts = select_rules(program, class_name, kernel, of_group)
    for text in texts[: limit or None]:
        stdout.print(text, markup=False)
    if doubtful := list_doubtful_rules(program):
        names = ", ".join(map(str, doubtful[:10])) + ", ..." * (len(doubtful) > 10)
        named = f"{'rules' if len(doubtful) > 1 else 'rule'} {names}"
        share = f"1/{len(program.classes)}"
        stdout.print(f"{named}: confidence below {share}, so another class is more probable", markup=False)
    if limit and len(texts) > limit:
        stdout.print(f"... and {len(texts) - limit:,} more; --limit 0 shows all")


_NETWORK = "eric-demo/digits_cnn.py:build"
_COMMANDS: dict[Callable[..., None], tuple[str, str]] = {  # in the order of the help; each with two examples
    demo: ("demo --force", "demo -o another-demo --json figures.json"),
    capture: (
        f"capture {_NETWORK} digits/train -o train",
        f"capture {_NETWORK} digits/test -o test --limit 100",
    ),
    extract: (
        "extract eric-demo/train -o rules.lp --min-leaf 20",
        "extract eric-demo/train -o chain.lp --layers conv3.2,conv4.2 --rules weights",
    ),
    evaluate: (
        "evaluate eric-demo/program.lp eric-demo/test --chains",
        "evaluate eric-demo/program.lp eric-demo/test --start conv4.2 --as markdown",
    ),
    pack: (
        "pack eric-demo/train -o bits",
        "pack eric-demo/test -o test-bits --thresholds eric-demo/program.lp",
    ),
    verify: ("verify eric-demo/train", "verify eric-demo/test --json shards.json"),
    chain: (
        "chain eric-demo/train eric-demo/test --layers conv3.2,conv4.2",
        "chain eric-demo/train eric-demo/test --layers conv3.2,conv4.2 --rules weights --plot chain.png",
    ),
    explain: (
        f"explain digits/test:17 --program eric-demo/program.lp --model {_NETWORK} --start conv4.2",
        f"explain digits/test:17 --program eric-demo/program.lp --model {_NETWORK} --png why.png",
    ),
    compare: (
        "compare eric-demo/program.lp eric-demo/program.lp eric-demo/test",
        "compare eric-demo/program.lp eric-demo/program.lp eric-demo/test --start conv3.2 --start2 conv4.2 --as csv",
    ),
    report: (
        "report eric-demo/test --program eric-demo/program.lp -o page --start conv4.2",
        "report eric-demo/test --program eric-demo/program.lp -o pictures --start conv4.2 --data digits/test",
    ),
    convert: (
        "convert eric-demo/program.lp -o rules.pl --format prolog",
        "convert eric-demo/program.lp -o rules.py --format python",
    ),
    predict: (
        "predict eric-demo/program.lp eric-demo/test -o answers.csv",
        f"predict eric-demo/program.lp digits/test --model {_NETWORK} --start conv4.2 -o last.csv",
    ),
    show: (
        "show eric-demo/program.lp --class 8 --settings",
        "show eric-demo/program.lp --kernel conv4.2:3 --limit 3 --as csv",
    ),
    analyse: (
        "analyse eric-demo/test --program eric-demo/program.lp --start conv4.2",
        "analyse eric-demo/test --program eric-demo/program.lp --start conv4.2 --limit 3 --as latex",
    ),
    label: (
        "label eric-demo/program.lp conv4.2:3=loop -o labelled.lp",
        "label eric-demo/program.lp",
    ),
}
for _command, _examples in _COMMANDS.items():
    add_command(app, _command, *_examples)
