"""Build what is released, and try it: `make dist`, or `python -m tests.make_dist [--code]`.

An sdist and a wheel of what git knows, each built twice, which must give the same bytes; with `--code` also a wheel for
this Python that carries machine code for each level of x86-64 that this machine has. Each wheel is installed into an
environment with nothing of ours in it, and run there. twine and check-wheel-contents look at the files too.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from eric_fast.jit.cache import CARRY_SETTING, CODE_TAG
from eric_fast.jit.levels import LEVELS, describe_target, find_level

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ("twine==6.2.0", "check-wheel-contents==0.6.3")
BUILD = """
import sys
from setuptools import build_meta
print(build_meta.build_sdist(sys.argv[1])) if sys.argv[2] == "sdist" else print(build_meta.build_wheel(sys.argv[1]))
"""
TRY = """
import sys
import numpy as np
import eric_fast as ef
from sklearn.ensemble import RandomForestClassifier
x = np.random.default_rng(0).normal(size=(200, 5))
forest = RandomForestClassifier(5, random_state=0).fit(x, x[:, 0] > 0)
assert (ef.load(forest).predict(x) == forest.predict(x)).all()
assert ef.__file__.startswith(sys.prefix), ef.__file__
"""


def copy_sources(folder: Path) -> None:
    """What git knows, as it lies in the work tree; links stay links."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def build(sources: Path, target: Path, kind: str) -> Path:
    """Build an sdist or a wheel with the setuptools that is installed. Its bytes depend on the sources alone."""
    target.mkdir(parents=True, exist_ok=True)
    epoch = read_date()
    command = [sys.executable, "-c", BUILD, str(target), kind]
    done = subprocess.run(
        command,
        cwd=sources,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"building the {kind} failed:\n{done.stdout}{done.stderr}")
    path = target / done.stdout.split()[-1]
    if kind == "sdist":
        pack_again(path, epoch)
    return path


def read_date() -> int:
    """When the last commit was made: seconds since 1970."""
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def pack_again(path: Path, epoch: int) -> None:
    """Write a `.tar.gz` anew without the times and the user of its making."""
    with tarfile.open(path) as old:
        members = [(member, old.extractfile(member)) for member in old.getmembers()]
        part = path.with_suffix(".part")
        with (
            part.open("wb") as file,
            gzip.GzipFile("", "wb", mtime=epoch, fileobj=file) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member, content in sorted(members, key=lambda pair: pair[0].name):
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.pax_headers = {}
                new.addfile(member, content)
    part.replace(path)


def compile_levels(sources: Path) -> None:
    """Put machine code into the package, for each level that this machine has."""
    here = find_level()
    if here is None:
        raise SystemExit("machine code is carried for x86-64-v3 and x86-64-v4, but this machine has neither")
    for level in list(LEVELS)[list(LEVELS).index(here) :]:
        folder = sources / "eric_fast" / "jit" / "code" / level / CODE_TAG
        settings = {**describe_target(level), CARRY_SETTING: str(folder), "PYTHONPATH": str(sources)}
        command = [sys.executable, "-m", "eric_fast.warm_up", "--processes", "1"]
        subprocess.run(command, cwd=sources, env={**os.environ, **settings}, check=True)
        print(f"{level}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.0f} MB")


def install_wheel(wheel: Path, place: Path) -> str:
    """Install a wheel into a new environment whose other packages are this one's. Return its interpreter."""
    venv.create(place / "env", with_pip=False)
    site = next((place / "env" / "lib").glob("python*")) / "site-packages"
    others = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    (site / "others.pth").write_text(f"{others}\n", encoding="utf-8")  # its own .pth files don't count
    python = str(place / "env" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    subprocess.run([*install, "--prefix", str(place / "env")], cwd=place, env=leave_out_settings(), check=True)
    return python


def leave_out_settings() -> dict[str, str]:
    """The environment without what concerns Python, Numba and us."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NUMBA_", "ERIC_"))}


def try_wheel(wheel: Path, *, carries: bool) -> None:
    """Install a wheel and run it; what it carries must do, and nothing be compiled."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        python = install_wheel(wheel, place)
        settings = leave_out_settings()
        if carries:
            settings["NUMBA_CACHE_DIR"] = str(place / "code")
            check = [python, "-m", "eric_fast.warm_up", "--check"]
            subprocess.run(check, cwd=place, env=settings, check=True)
        subprocess.run([python, "-c", TRY], cwd=place, env=settings, check=True)
        subprocess.run(
            [str(place / "env" / "bin" / "eric-fast"), "--help"], cwd=place, env=settings, check=True, stdout=-3
        )


def build_twice(kind: str, target: Path) -> Path:
    """Build from two copies in other places, which must give the same bytes."""
    digests = set()
    with tempfile.TemporaryDirectory() as name:
        for copy in ("one", "two"):
            sources = Path(name, copy)
            copy_sources(sources)
            path = build(sources, target, kind)
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    if len(digests) > 1:
        raise SystemExit(f"two builds of {path.name} differ")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {digests.pop()}")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.make_dist", description=__doc__)
    parser.add_argument("--code", action="store_true", help="also a wheel with machine code: minutes")
    parser.add_argument("--offline", action="store_true", help="without twine and check-wheel-contents")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="FOLDER", help="./dist by default")
    arguments = parser.parse_args()
    paths = [build_twice(kind, arguments.to) for kind in ("sdist", "wheel")]
    if arguments.code:
        with tempfile.TemporaryDirectory() as name:
            sources = Path(name)
            copy_sources(sources)
            compile_levels(sources)
            (sources / "setup.cfg").write_text(
                f"[bdist_wheel]\npython_tag = cp{sys.version_info[0]}{sys.version_info[1]}\n"
                "plat_name = manylinux_2_28_x86_64\n",
                encoding="utf-8",
            )
            paths.append(build(sources, arguments.to, "wheel"))
    for wheel in paths[1:]:
        try_wheel(wheel, carries=wheel is not paths[1])
    if not arguments.offline:
        tools = [sys.executable, "-m", "uv", "tool", "run", "--from"]
        subprocess.run([*tools, CHECKS[0], "twine", "check", "--strict", *paths], check=True)
        contents = [
            *tools,
            CHECKS[1],
            "check-wheel-contents",
            "--ignore",
            "W002",
        ]  # small functions, alike on both levels
        subprocess.run([*contents, *paths[1:]], check=True)


if __name__ == "__main__":
    main()
