"""Recording: captures that are written while they are made, shard by shard, and taken up again where they stopped."""

from eric_fast.record.network import N_STATISTICS, open_recording
from eric_fast.record.packing import open_packing
from eric_fast.record.recording import Recording, describe_size
from eric_fast.record.room import say_bytes

__all__ = ["N_STATISTICS", "Recording", "describe_size", "open_packing", "open_recording", "say_bytes"]
