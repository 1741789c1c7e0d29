"""How much of a source a run holds in memory at a time."""

from eric_fast.processes.memory import count_fitting, find_free_memory, find_used_memory
from eric_fast.store import SHARD_SIZE, SHARD_UNIT


def find_limit(memory: int | None) -> int:
    """Bytes that this process may use: what is given, or by default what it uses already and half of what is free."""
    return find_used_memory() + find_free_memory() // 2 if memory is None else memory


def count_images(what: str, limit: int, fixed: int, per_image: int) -> int:
    """How many images may be read at a time."""
    n_units = count_fitting(what, limit, fixed, SHARD_UNIT * per_image, 1, SHARD_SIZE // SHARD_UNIT)
    return SHARD_UNIT * n_units
