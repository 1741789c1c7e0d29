"""Memory: how much a run may use, and how much it used."""

import gc
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import SettingError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CGROUP = Path("/sys/fs/cgroup")


def parse_memory(text: str) -> int:
    """`4GB`, `512MiB`, `800000000` in bytes.

    Raises:
        SettingError: anything else.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    n_bytes = int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
    if n_bytes <= 0:
        raise SettingError(f"memory '{text}' is not an amount such as 4GB or 512MiB")
    return n_bytes


def find_free_memory() -> int:
    """Bytes that are available on this machine, or in the container of this process."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = 1024 * int(fields["MemAvailable"].split()[0])
    limit, used = (_CGROUP / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdecimal():
        free = min(free, int(text) - int(used.read_text(encoding="ascii")))
    return max(free, 0)


def find_used_memory() -> int:
    """Bytes of memory that this process uses now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def find_peak_memory() -> int:
    """Bytes of memory that this process has used at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def format_bytes(n: float) -> str:
    """`10.8 GB`, in powers of a thousand."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def count_fitting(what: str, limit: int, fixed: int, per_item: int, least: int, most: int) -> int:
    """Count how many items of `per_item` bytes fit into memory at a time, from `least` to `most`.

    Args:
        what: the work, as errors call it.
        limit: bytes that this process may use at most.
        fixed: bytes that the work takes beside the items and what this process uses already.

    Raises:
        SettingError: `least` items don't fit.
    """
    used = find_used_memory() + fixed
    need = used + least * per_item
    if need > limit:
        raise SettingError(
            f"{what} takes {format_bytes(need)} of memory at least, but only {format_bytes(limit)} is allowed; "
            "give a higher --memory, or start more processes"
        )
    return min(most, (limit - used) // max(1, per_item))


@contextmanager
def pause_collector() -> Iterator[None]:
    """Pause garbage collection, which would scan many new objects without reference cycles in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
