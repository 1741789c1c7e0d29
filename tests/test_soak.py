"""The same work many times leaves no memory, file or thread behind; `python -m tests.soak` does it far longer."""

import threading

import pytest

from tests.soak import MEASURES, Growth, make_works, measure_growth


@pytest.mark.slow
def test_work_leaves_nothing_behind():
    with make_works() as works:
        growths = {name: measure_growth(work, max(MEASURES, n // 1000)) for name, (n, work) in works.items()}
    assert not {name: growth for name, growth in growths.items() if growth.leaks}


@pytest.mark.parametrize("what", ["memory", "files", "threads"])
def test_what_is_left_behind_is_seen(what, tmp_path):
    kept, done = [], threading.Event()
    (tmp_path / "f").touch()

    def work():
        if what == "memory":
            kept.append(b"x" * 2**25)
        elif what == "files":
            kept.append((tmp_path / "f").open())
        else:
            kept.append(threading.Thread(target=done.wait))
            kept[-1].start()

    growth = measure_growth(work, 8)
    done.set()
    for left in kept:
        if what == "files":
            left.close()
    assert growth.leaks
    assert getattr(growth, what) > 0
    assert not Growth(8, 0, 0, 0).leaks
