"""How many random examples the tests try: a tenth with `pytest --quick`."""

from typing import Any

from hypothesis import settings


def count_examples(count: int) -> int:
    """So many, or a tenth of them."""
    return max(3, count // 10) if settings.get_current_profile_name() == "quick" else count


def try_examples(count: int, **others: Any) -> settings:
    """Hypothesis' settings for a test of so many examples."""
    return settings(max_examples=count_examples(count), **others)
