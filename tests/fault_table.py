"""`python -m tests.fault_table [FILE ...]`: the tables of docs/RELIABILITY.md, from `fault_results.json`.

What does harm on purpose records here how often it tried, once nothing failed. Test files that are named (`all`: each
of `TESTS`) are run first, and the cases that passed are counted.
"""

import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("fault_results.json")
PAGE = ROOT / "docs" / "RELIABILITY.md"

# How a command is disturbed: what that is, and what is promised.
KINDS = {
    "kills": ("SIGKILL at each call that writes", "old or new, whole; the same command then works, and cleans up"),
    "file size limit": ("a file may not grow", "refused by name, the old output stays"),
    "full disk": ("room for no page, one, two, four ...", "the same; with room, the same command works"),
    "read-only folder": ("a folder that may not be written", "refused by name, the old output stays"),
    "two writers": ("the same command twice at once", "one output, whole; the other gives the same or is refused"),
    "clock": ("a clock that jumps by ten years; files of 1970 and 2100", "the same bytes"),
}
# What `tests/faults.py` does to captures.
CAPTURES = {
    "kills": ("a capture: SIGKILL at random moments", "the same command resumes, to the same bytes"),
    "ranks": ("a capture: SIGKILL of one of two processes under torchrun", "all end; resumed to the same bytes"),
    "interrupt": ("a capture: Ctrl-C", "exit code 130, no half shard; resumed to the same bytes"),
    "two": ("two captures into one folder", "the second is refused, the first goes on"),
    "jpeg": ("an image that turns unreadable meanwhile", "named; mended, resumed to the same bytes"),
    "damage": ("shards with a bit flipped, cut, lengthened, swapped, gone", "noticed, named, made anew"),
    "disk": ("a capture: a disk too small, or that fills up", "named; resumed to the same bytes"),
    "read-only": ("a capture: a read-only disk", "refused in words"),
}
# Test files whose every case is a fault.
TESTS = {
    "test_ownership": (
        "foreign files, links and markers in a folder; writers that meet; exchange killed",
        "refused by name, nothing of others removed; each change is kept or refused: `changed meanwhile`",
    ),
    "test_other_processes": (
        "objects through pickle, ForkingPickler, joblib, spawn, fork, DataLoader, threads, asyncio; interrupts",
        "the same answers there and here, or one line that names `spawn`",
    ),
    "test_processes": (
        "torchrun: other options, other data, a missing folder, a killed process",
        "all end, with one line that names the process",
    ),
    "test_code_cache": (
        "compiled code: two processes at once, no home, read-only, another CPU, moved, upgraded, cut off, of others",
        "it works; what is slow is said once; code of others is never read",
    ),
    "test_hostile_names": ("escapes, carriage returns, bidirectional controls, formulas as names", "shown escaped"),
    "test_tensors": (
        "meta, fake, sparse, nested, quantised tensors; 2^40 rows; headers of 2^124 values",
        "the same answer, or a remedy, before memory is taken",
    ),
}


def read_results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text() or "{}") if RESULTS.exists() else {}
    return found


def record(group: str, name: str, result: object) -> None:
    """Keep the result of this name among its group's."""
    with RESULTS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of two that record at once, the second waits
        results = read_results()
        results.setdefault(group, {})[name] = result
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def run_tests(name: str) -> None:
    """Run a test file, and record how many of its cases passed. Raises CalledProcessError if any fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "0", f"tests/{name}.py", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=True)
        [suite] = ElementTree.parse(report).getroot().iter("testsuite")
    record("tests", name, int(suite.attrib["tests"]) - int(suite.attrib["skipped"]))


def make_command_table(results: dict[str, Any]) -> str:
    """The disturbances of each command: a row for each."""
    lines = [f"| command | {' | '.join(KINDS)} |", f"|---|{'---|' * len(KINDS)}"]
    for command, tries in results["commands"].items():
        lines.append(f"| `{command}` | {' | '.join(str(tries[kind]) for kind in KINDS)} |")
    return "\n".join(lines)


def make_fault_table(results: dict[str, Any]) -> str:
    """All classes of faults that were tried: how often, what failed, and what is promised."""
    commands, soak = results["commands"], results.get("soak", {})
    rows: list[tuple[str, int, str, str]] = []
    for kind, (what, promise) in KINDS.items():
        tries = sum(each[kind] for each in commands.values())
        rows.append((f"{len(commands)} commands: {what}", tries, promise, "`python -m tests.kills all`"))
    for kind, (what, promise) in CAPTURES.items():
        rows.append((what, results.get("captures", {}).get(kind, 0), promise, "`python -m tests.faults all`"))
    for name, (what, promise) in TESTS.items():
        rows.append((what, results.get("tests", {}).get(name, 0), promise, f"`tests/{name}.py`"))
    work = "evaluating, predicting, loading and extracting without end"
    calls = sum(each["calls"] for each in soak.values())
    rows.append((work, calls, "memory, open files and threads stay level", "`make soak`"))
    inputs = sum(each["inputs"] for each in results["fuzz"].values())
    read = "read, or an error that names the place; no crash, no hang"
    rows.append(("inputs led by the code that they reach", inputs, read, "`make guided-fuzz`"))
    sizes = len(results.get("limits", {}))
    rows.append(("programs and inputs of great size", sizes, "they work, or are refused", "`python -m tests.limits`"))
    rows.append(("what failed once", len(results.get("cases", {})), "right", "`python -m tests.safety_cases`"))
    lines = ["| class of fault | tries | failures | promised | by |", "|---|---|---|---|---|"]
    lines += [f"| {what} | {tries:,} | 0 | {promise} | {by} |" for what, tries, promise, by in rows if tries]
    return "\n".join(lines)


def make_fuzz_table(results: dict[str, Any]) -> str:
    """What the coverage-guided fuzzer tried with each reader."""
    lines = ["| reader | minutes | inputs | corpus | failures |", "|---|---|---|---|---|"]
    for reader, found in results["fuzz"].items():
        minutes = f"{found['seconds'] / 60:.1f}"
        lines.append(f"| {reader} | {minutes} | {found['inputs']:,} | {found['corpus']:,} | 0 |")
    return "\n".join(lines)


def make_soak_table(results: dict[str, Any]) -> str:
    lines = ["| work | times | memory, MiB | open files | threads |", "|---|---|---|---|---|"]
    for work, found in results.get("soak", {}).items():
        memory = f"{found['memory'] / 2**20:+.1f}"
        lines.append(f"| {work} | {found['calls']:,} | {memory} | {found['files']:+d} | {found['threads']:+d} |")
    return "\n".join(lines)


def make_limit_table(results: dict[str, Any]) -> str:
    lines = ["| size | what happens | CPU seconds | memory, GB |", "|---|---|---|---|"]
    for size, found in results.get("limits", {}).items():
        lines.append(f"| {size} | {found['outcome']} | {found['seconds']:.1f} | {found['memory'] / 1e9:.1f} |")
    return "\n".join(lines)


TABLES = {
    "commands": make_command_table,
    "faults": make_fault_table,
    "fuzz": make_fuzz_table,
    "soak": make_soak_table,
    "limits": make_limit_table,
}


def fill_page(page: str, results: dict[str, Any]) -> str:
    """The page with each table anew, between `<!-- table NAME -->` and `<!-- end -->`."""
    for name, make_table in TABLES.items():
        before, mark, rest = page.partition(f"<!-- table {name} -->\n")
        assert mark, f"the page has no place for table {name}"
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{mark}{make_table(results)}\n{end}{after}"
    return page


def main() -> None:
    for name in TESTS if sys.argv[1:] == ["all"] else sys.argv[1:]:
        run_tests(name)
    PAGE.write_text(fill_page(PAGE.read_text(), read_results()))


if __name__ == "__main__":
    main()
