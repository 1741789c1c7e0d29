"""What every case needs: the data beside the checkout, and where and with what a figure was measured."""

import platform
import subprocess
import tarfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
CACHE = ROOT / ".cache"


def unpack_shared(archive: str, name: str) -> Path:
    """The folder `name` of an archive of ../shared/data, unpacked once into .cache/."""
    folder = CACHE / name
    if not folder.exists():
        part = CACHE / f".{name}.part"
        with tarfile.open(SHARED / "data" / archive) as tar:
            tar.extractall(part, filter="data")
        part.replace(folder)
    return folder


def describe_machine() -> dict[str, str]:
    """Hardware, versions and commit: they belong in every committed result."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if "model name" in line),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    packages = {name: version(name) for name in ("torch", "scikit-learn", "numba", "triton")}
    return {"cpu": cpu, "python": platform.python_version(), **packages, "commit": commit}


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
