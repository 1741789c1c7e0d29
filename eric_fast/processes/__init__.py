"""Processes: alone or several that torchrun started, forked or sent objects; and how much memory one may use."""

from eric_fast.processes.distributed import (
    Combine,
    LostProcessError,
    Processes,
    claim_failure,
    count_local,
    is_first_process,
    is_one_of_many,
    join_processes,
    keep,
    leave_processes,
    name_process,
)

__all__ = [
    "Combine",
    "LostProcessError",
    "Processes",
    "claim_failure",
    "count_local",
    "is_first_process",
    "is_one_of_many",
    "join_processes",
    "keep",
    "leave_processes",
    "name_process",
]
