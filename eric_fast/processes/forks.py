"""Forked processes: the threads of PyTorch's pool are not there, and whoever waits for them waits for ever."""

import os
import sys
from functools import cache


@cache
def prepare_forks() -> None:
    """From now on, PyTorch runs on one thread in forked processes, as in a DataLoader's workers.

    Threads of our own are started anew in a child. To have all threads of PyTorch, start processes with `spawn`.
    """
    os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
