"""The commands that write, as `tests/kills.py` disturbs them."""

from typing import NamedTuple


class Case(NamedTuple):
    """A command that writes.

    Attributes:
        arguments: with `{made}`, where its inputs are, and `{here}`, where it writes.
        output: what it writes, in `{here}`.
        before: commands that make the old output; none: there is none.
        forces: whether `--force` replaces an old output.
        kept: functions that write nothing, as `module:name`. Children take what they answered in the warm process.
    """

    arguments: str
    output: str
    before: tuple[str, ...] = ()
    forces: bool = True
    kept: tuple[str, ...] = ()


DEMO = tuple(
    f"eric_fast.demo.run:{name}"
    for name in ("capture_activations", "approximate_model", "evaluate_chains", "measure_speed", "build_report")
)
NET = "{made}/net.py:build"
PROGRAM = "convert {made}/p.lp -o {here}/"  # an old output of any name
CASES = {
    "capture": Case(f"capture {NET} digits/test -o {{here}}/c --limit 60", "c", forces=False),
    "capture --force": Case(
        f"capture {NET} digits/test -o {{here}}/c --limit 60",
        "c",
        (f"capture {NET} digits/test -o {{here}}/c --limit 50",),
    ),
    "pack": Case("pack {made}/test -o {here}/b --threshold mean", "b", forces=False),
    "extract": Case("extract {made}/train -o {here}/p.lp --min-leaf 20", "p.lp", (PROGRAM + "p.lp",)),
    "convert": Case("convert {made}/p.lp -o {here}/p.c --format c", "p.c", (PROGRAM + "p.c",)),
    "predict": Case("predict {made}/p.lp {made}/test -o {here}/t.csv", "t.csv", (PROGRAM + "t.csv",)),
    "label": Case("label {here}/p.lp 1:2=wheel", "p.lp", (PROGRAM + "p.lp",), forces=False),
    "compare": Case(
        "compare {made}/p.lp {made}/p.lp {made}/test --json {here}/d.json",
        "d.json",
        (PROGRAM + "d.json",),
    ),
    "chain": Case(
        "chain {made}/train {made}/test --min-leaf 20 --json {here}/k.json",
        "k.json",
        (PROGRAM + "k.json",),
    ),
    "explain": Case(
        f"explain digits/test:3 --program {{made}}/p.lp --model {NET} --png {{here}}/x.svg",
        "x.svg",
        (PROGRAM + "x.svg",),
        kept=("eric_fast.explain:explain_image",),
    ),
    "report": Case(
        "report {made}/test --program {made}/p.lp -o {here}/r",
        "r",
        ("report {made}/test --program {made}/p.lp -o {here}/r --start 3",),
    ),
    "demo": Case("demo -o {here}/demo", "demo", forces=False, kept=DEMO),
}
QUICK = ("capture", "pack", "convert", "predict", "label")  # the tests kill these
