"""Tables of measurements, from `bench/results/*.json` alone."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "bench" / "results"
IMAGENET = 1_281_167  # its training images
_TAKING = "taking all values out"  # of frames and tables: no rival
OURS = ("eric-fast", "eric_fast")
_FRONTENDS = {
    "forest, numeric": "random forest, numbers",
    "forest, binary": "the same, 0 and 1 alone",
    "histogram boosting": "histogram boosting",
    "XGBoost, numeric": "XGBoost, numbers",
    "XGBoost, binary": "XGBoost, 0 and 1 alone",
    "LightGBM": "LightGBM",
    "logic network": "12,000 logic gates",
    "FOLD-RM krkp": "FOLD-RM, krkp",
    "FOLD-RM nursery": "FOLD-RM, nursery",
    "FOLD-RM pendigits": "FOLD-RM, pendigits",
    "FOLD-RM wall_robot": "FOLD-RM, wall robot",
}
_PROGRAMS = {
    "a": "random rules, 90,000 literals over 512 atoms",
    "b": "`cifar10_vgg`, all layers: the rules of 832 kernels and the classes",
    "c": "a random forest's votes",
    "w": "832 random weight rules of 16 literals in layers, and votes",
    "d krkp": "FOLD-RM, krkp",
    "d nursery": "FOLD-RM, nursery",
    "d pendigits": "FOLD-RM, pendigits",
    "d wall_robot": "FOLD-RM, wall robot",
}


def read_results(name: str) -> dict[str, Any]:
    """The results of one case of `python -m bench`."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> str:
    """A table in Markdown; `right` has an `r` for each column that holds numbers, else a `-`."""
    marks = ["--:" if mark == "r" else "---" for mark in right.ljust(len(heads), "-")]
    lines = [heads, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say_machine(name: str) -> str:
    """One sentence about where a case was measured."""
    machine = read_results(name)["machine"]
    kept = {
        key: value
        for key, value in machine.items()
        if key not in ("cpu", "cores", "commit") and "not" not in str(value)
    }
    versions = ", ".join(f"{key} {value}" for key, value in kept.items())
    return f"{machine['cpu']}, {machine['cores']} cores; {versions}; commit `{machine['commit']}`."


def format_seconds(seconds: float) -> str:
    """Three digits, in the unit that fits: `0.979 s`, `3.83 ms`, `107 µs`."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.1 * scale or unit == "µs":
            number = float(f"{seconds / scale:.3g}")
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:g} {unit}"
    raise AssertionError("unreachable")


def format_ratio(ratio: float) -> str:
    """Two digits: `4.3`, `0.3`, `110`."""
    return f"{float(f'{ratio:.2g}'):,g}"


def say_protocol(name: str) -> str:
    """How a case was timed, as its result says it."""
    protocol = read_results(name).get("protocol", {})
    return "\n".join(f"- {key}: {value}" for key, value in protocol.items()) or "Results of before this was recorded."


def _scale(row: dict[str, Any], n_cores: int) -> float:
    """The time for all rows of a rival that ran on fewer, at its rate, and on every core."""
    share = n_cores if "one core's rate times the cores" in (row["note"] or "") else 1
    return float(row["median_s"] * row["of_size"] / row["n_rows"] / share)


def _compare(row: dict[str, Any], who: str, ratio: Callable[[], float]) -> str:
    """A rival and how many times as long it takes, or why it wasn't timed."""
    if row["median_s"] is None:
        return f"{who} (not timed: {row['note']})"
    differing = row.get("differing")
    return f"{who} {format_ratio(ratio())}" + (f" ({differing:.2%} of rows otherwise)" if differing else "")


def print_frontends(n_rows: int, cases: Sequence[str] = tuple(_FRONTENDS)) -> str:
    """Each model on so many rows: our time, and how many times as long its rivals take."""
    results = read_results("frontends")
    n_cores, rows = int(results["machine"]["cores"]), []
    for case in cases:
        found = [row for row in results["frontends"] if row["case"] == case and row["of_size"] == n_rows]
        ours = next(row for row in found if row["who"] in OURS)
        rivals = ", ".join(
            _compare(row, row["who"], lambda: _scale(row, n_cores) / ours["median_s"])  # noqa: B023
            for row in found
            if row["who"] not in OURS
        )
        rows.append((_FRONTENDS[case], format_seconds(ours["median_s"]), rivals))
    return print_table(("model", "eric_fast", "times as long"), rows, "-r")


def print_few(sizes: Sequence[int] = (1, 10, 100, 1_000)) -> str:
    """Each model on few rows: our time for each kind of table, and how many times as long rivals take of it."""
    found = read_results("small")["small"]
    rows = []
    for case, size in ((case, size) for case in dict.fromkeys(row["case"] for row in found) for size in sizes):
        here = [row for row in found if (row["case"], row["n_rows"]) == (case, size)]
        ours = {row["form"]: row["median_s"] for row in here if row["who"] in OURS}
        best = min(ours.values())
        rivals = ", ".join(
            _compare(
                row,
                row["who"] + ("" if row["form"] == "NumPy" else f" from {row['form']}"),
                lambda: row["median_s"] / ours.get(row["form"], best),  # noqa: B023
            )
            for row in here
            if row["who"] not in (*OURS, _TAKING)
        )
        times = [format_seconds(ours[form]) if form in ours else "" for form in ("NumPy", "pandas", "Arrow")]
        rows.append((_FRONTENDS[case], f"{size:,}", *times, rivals))
    heads = ("model", "rows", "NumPy", "pandas", "Arrow", "times as long, from the same rows")
    return print_table(heads, rows, "-rrrr")


def print_programs(name: str) -> str:
    """Whole programs on packed bits: our time and that of rivals, scaled to our number of samples."""
    rows = []
    for case, title in _PROGRAMS.items():
        found = [row for row in read_results(name)["evaluate"] if row["case"] == case]
        if not found:
            continue
        ours = max((row for row in found if row["who"] in OURS), key=lambda row: row["n_samples"] == IMAGENET)
        rivals = ", ".join(
            f"{row['who']} {format_ratio(ours['literal_evaluations_per_s'] / row['literal_evaluations_per_s'])}"
            for row in {row["who"]: row for row in found if row["who"] not in OURS}.values()
        )
        rows.append((title, f"{ours['n_samples']:,}", format_seconds(ours["median_s"]), rivals))
    return print_table(("program", "samples", "eric_fast", "times as long"), rows, "-rr")


def print_extract(name: str) -> str:
    """Growing the trees of a network: our time, and that of rivals."""
    found = [row for row in read_results(name)["rows"] if row["case"] == "network"]
    ours = next(row["median_s"] for row in found if row["who"] in OURS)
    rows = [
        (row["who"], format_seconds(row["median_s"]), format_ratio(row["median_s"] / ours), str(row.get("every", 1)))
        for row in found
    ]
    return print_table(("who", "time", "times as long", "of how many trees one was grown"), rows, "-rrr")


def print_rows(name: str, columns: dict[str, str], where: Callable[[dict[str, Any]], bool] = lambda row: True) -> str:
    """The rows of a result as they are: title -> key."""
    rows = []
    for row in read_results(name)["rows"]:
        if where(row):
            cells = (row.get(key) for key in columns.values())
            rows.append([_format(cell, key) for cell, key in zip(cells, columns.values(), strict=True)])
    return print_table(tuple(columns), rows, "-" + "r" * (len(columns) - 1))


def _format(cell: Any, key: str) -> str:
    if cell is None:
        return ""
    if key.endswith(("_s", "seconds")) and "per" not in key:
        return format_seconds(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.4g}" if isinstance(cell, float) else str(cell)


def print_first() -> str:
    """The first minute, cold and warm; with its times before, where they were taken."""
    if not (RESULTS / "first.json").exists():
        return "Not measured for this version yet."
    columns = {"": "what", "first run": "installed_s", "first, no code": "cold_s", "later runs": "warm_s"}
    if any("before_cold_s" in row for row in read_results("first")["rows"]):
        columns |= {"first, before": "before_cold_s", "later, before": "before_warm_s"}
    return f"{say_machine('first')}\n\n{print_rows('first', columns)}"


def print_faithfulness() -> str:
    """Class programs of `cifar10_vgg`, by learner and size."""
    columns = {"learner": "learner", "size": "size", "rules": "n_rules", "literals": "n_literals"}
    columns |= {"integers": "n_integers", "fidelity": "fidelity", "accuracy": "accuracy"}
    return print_rows(
        "faithfulness", columns, lambda row: row["part"] == "class program" and row["network"] == "cifar10_vgg"
    )


def print_thresholds(part: str, column: str) -> str:
    """A line for each network and threshold: fidelity on held-back images, and means."""
    rows = [row for row in read_results("thresholds")["rows"] if row["part"] == part]
    lines = []
    for network, threshold in dict.fromkeys((row["network"], row["learner"]) for row in rows):
        own = [row for row in rows if (row["network"], row["learner"]) == (network, threshold)]
        figures = " ".join(f"{row['held_back']:.3f}" for row in own)
        means = (sum(row[key] for row in own) / len(own) for key in ("held_back", "fidelity"))
        lines.append((network, f"`{threshold}`", figures, *(f"{value:.3f}" for value in means)))
    return print_table(("network", "threshold", f"held back, by {column}", "mean", "mean, test images"), lines, "--rrr")


_README_CASES = ("forest, numeric", "forest, binary", "histogram boosting", "XGBoost, numeric", "LightGBM")
TABLES: dict[str, Callable[[], str]] = {
    "speed": lambda: print_frontends(1_000_000, (*_README_CASES, "FOLD-RM pendigits")),
    "frontends-million": lambda: print_frontends(1_000_000),
    "frontends-thousand": lambda: print_frontends(1_000),
    "frontends-one": lambda: print_frontends(1),
    "small": print_few,
    "evaluate": lambda: print_programs("evaluate"),
    "evaluate-avx512": lambda: print_programs("evaluate_avx512"),
    "extract": lambda: print_extract("extract"),
    "extract-avx512": lambda: print_extract("extract_avx512"),
    "faithfulness": print_faithfulness,
    "thresholds-classes": lambda: print_thresholds("class program", "size"),
    "thresholds-chains": lambda: print_thresholds("chain", "start"),
    "first": print_first,
    "analyse": lambda: print_rows(
        "analyse", {"who": "who", "images": "n_images", "kernels in rules": "n_mentioned", "time": "median_s"}
    ),
    "capture": lambda: print_rows(
        "capture",
        {
            "network": "model",
            "images": "n_images",
            "bare images/s": "bare_images_per_s",
            "captured images/s": "capture_images_per_s",
        },
    ),
    "count": lambda: print_rows(
        "count", {"who": "who", "atoms": "n_atoms", "samples": "n_samples", "time": "median_s"}
    ),
    "fold": lambda: print_rows(
        "fold",
        {
            "data": "data",
            "rows": "n_rows",
            "accuracy": "accuracy",
            "of foldrm": "foldrm_accuracy",
            "same answers": "same_answers",
        },
    ),
    "thousand": lambda: print_rows(
        "thousand",
        {
            "program": "case",
            "rules": "n_rules",
            "fidelity": "fidelity",
            "explain": "explain_s",
            "processor time": "explain_cpu_s",
            "slowest": "slowest_explain_s",
            "lines": "lines",
            "report": "report_s",
            "page, MB": "page_mb",
        },
    ),
    "protocol-frontends": lambda: say_protocol("frontends"),
    "protocol-small": lambda: say_protocol("small"),
    **{
        f"machine-{name}": partial(say_machine, name)
        for name in (
            "frontends",
            "small",
            "evaluate",
            "evaluate_avx512",
            "extract",
            "extract_avx512",
            "faithfulness",
            "analyse",
            "capture",
            "count",
            "fold",
            "thresholds",
            "thousand",
        )
    },
}
TABLES = {name.replace("_", "-"): table for name, table in TABLES.items()}
