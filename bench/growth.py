"""How time grows: with samples, with literals, and with strata; everything else held."""

from pathlib import Path
from typing import Any

from bench.harness import time_runs
from bench.programs import make_random_program, make_random_words
from eric_fast import kernels
from eric_fast.compile.program import compile_program
from eric_fast.program import Program

N_ATOMS = N_HEADS = 512
N_LITERALS = 6
N_RULES, N_SAMPLES = 15_000, 262_144
SAMPLES = (1_000, 4_000, 16_000, 65_000, 262_144, 1_048_576, 4_194_304)
RULES = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
STRATA = (1, 2, 4, 8, 16, 32)


def measure_growth(full: bool) -> list[dict[str, Any]]:
    """Rows: what grew (`axis`), how far (`value`), seconds, and literal evaluations a second."""
    n_runs = 15 if full else 7
    whole = make_random_program(N_RULES, N_LITERALS, N_ATOMS, N_HEADS)
    rows = [_time_program("samples", n, whole, n, n_runs) for n in SAMPLES]
    for n_rules in RULES:
        program = make_random_program(n_rules, N_LITERALS, N_ATOMS, N_HEADS)
        rows.append(_time_program("literals", program.n_literals, program, N_SAMPLES, n_runs))
    for n_strata in STRATA:
        program = make_random_program(N_RULES, N_LITERALS, N_ATOMS, N_HEADS, n_strata)
        rows.append(_time_program("strata", n_strata, program, N_SAMPLES, n_runs))
    return rows


def _time_program(axis: str, value: int, program: Program, n_samples: int, n_runs: int) -> dict[str, Any]:
    plan = compile_program(program)
    words = make_random_words(N_ATOMS, n_samples)
    heads = range(plan.n_inputs, plan.n_rows)
    timing = time_runs(
        lambda: kernels.evaluate(plan, words, n_samples, classes=False, rules=False, rows=heads),
        n_runs=n_runs,
        n_warmups=2,
    )
    return {
        "axis": axis,
        "value": value,
        "n_samples": n_samples,
        "n_literals": program.n_literals,
        "median_s": timing.median_s,
        "fastest_s": timing.fastest_s,
        "slowest_s": timing.slowest_s,
        "literal_evaluations_per_s": program.n_literals * n_samples / timing.median_s,
    }


def draw_growth(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each axis, on logarithmic scales: a straight line that climbs as the grey one is linear growth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = list(dict.fromkeys(row["axis"] for row in rows))
    for panel, axis in zip(figure.subplots(1, len(axes), sharey=True), axes, strict=True):
        chosen = [row for row in rows if row["axis"] == axis]
        values = [row["value"] for row in chosen]
        seconds = [row["median_s"] for row in chosen]
        spread = [
            [row["median_s"] - row["fastest_s"] for row in chosen],
            [row["slowest_s"] - row["median_s"] for row in chosen],
        ]
        if axis != "strata":
            panel.plot(
                values, [seconds[-1] * value / values[-1] for value in values], color="lightgrey", label="linear"
            )
        panel.errorbar(values, seconds, yerr=spread, marker="o", capsize=3, label="median, fastest and slowest")
        panel.set(xscale="log", yscale="log", xlabel=axis, title=_say_what_is_held(axis))
        panel.grid(visible=True, which="major", alpha=0.3)
    figure.axes[0].legend()
    figure.axes[0].set_ylabel("seconds")
    figure.savefig(path, dpi=120)


def _say_what_is_held(axis: str) -> str:
    held = {
        "samples": f"{N_RULES * N_LITERALS:,} literals, 1 stratum",
        "literals": f"{N_SAMPLES:,} samples, 1 stratum",
        "strata": f"{N_RULES * N_LITERALS:,} literals, {N_SAMPLES:,} samples",
    }
    return f"time against {axis}\n{held[axis]}"
