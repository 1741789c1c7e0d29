"""Objects that go to other processes, threads and workers answer there as here, and stay whole here."""

import asyncio
import copy
import io
import multiprocessing
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from types import MappingProxyType

import joblib
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch.utils.data import DataLoader, Dataset

from eric_fast import (
    Capture,
    EricClassifier,
    Evaluator,
    FoldClassifier,
    Program,
    RuleModule,
    approximate_model,
    load,
    open_capture,
    print_program,
    quantise_activations,
    save_activations,
)
from eric_fast.processes.pickling import PickledByFields
from eric_fast.table.model import RuleModel
from tests.activations import make_activations

SECONDS = 30  # until a child is taken for one that hangs
TABLE = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)


def answer(found):
    """What an object says, as plain values."""
    match found:
        case RuleModel() | EricClassifier() | FoldClassifier():
            return found.predict(TABLE).tolist(), found.predict_proba(TABLE).tolist()
        case Evaluator():
            return found.classes(make_activations(70)).tolist(), found.inputs
        case RuleModule():
            return found(make_activations(70).norms[found.start]).tolist()
        case Capture():
            return [values.tolist() for values in found.read_activations().norms.values()], found.layers
        case Program():
            return print_program(found)
    return pickle.dumps(found)  # plain values


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    labels = (TABLE[:, 0] > 0).astype(int)
    activations = make_activations(200)
    path = tmp_path_factory.mktemp("other") / "c"
    save_activations(activations, path)
    program = approximate_model(activations, layers="all")
    evaluator = Evaluator(program)
    made = {
        "forest": load(RandomForestClassifier(8, random_state=0).fit(TABLE, labels)),
        "estimator": EricClassifier("split").fit(TABLE, labels),
        "fold": FoldClassifier().fit(TABLE, labels),
        "program": program,
        "evaluator": evaluator,
        "plan": evaluator.plan,
        "module": RuleModule(program, start=program.layers[-1]),
        "activations": activations,
        "capture": open_capture(path),
        "bits": quantise_activations(activations, program.network_quantiser),
    }
    for found in made.values():
        answer(found)  # compiled, and with whatever looks at its memory
    return made


def by_joblib(found):
    file = io.BytesIO()
    joblib.dump(found, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "copied",
    [
        *(lambda found: pickle.loads(pickle.dumps(found)), lambda found: pickle.loads(ForkingPickler.dumps(found))),
        *(by_joblib, copy.deepcopy, copy.copy),
    ],
    ids=["pickle", "ForkingPickler", "joblib", "deepcopy", "copy"],
)
def test_copies_answer_the_same_and_the_original_still_does(objects, copied):
    for name, found in objects.items():
        before = answer(found)
        assert answer(copied(found)) == before, name
        junk = [np.full(1 << size, 7, np.int64) for size in range(4, 14)] * 3  # where memory was freed
        assert answer(found) == before, name
        del junk


def test_tensors_and_frozen_mappings_are_kept_as_they_are(objects):
    made = pickle.loads(pickle.dumps(objects["activations"]))
    assert isinstance(made.norms, MappingProxyType)
    assert made.labels.dtype == objects["activations"].labels.dtype
    steps, again = objects["plan"].steps, pickle.loads(pickle.dumps(objects["plan"])).steps
    assert all(torch.equal(getattr(again, name), value) for name, value in vars(steps).items() if name != "covered")
    assert issubclass(type(steps), PickledByFields)
    assert b"torch" not in pickle.dumps(objects["plan"]).replace(b"torch\x94", b"")  # by NumPy arrays alone


def answer_all(objects):
    return {name: answer(found) for name, found in objects.items()}


@pytest.mark.slow
def test_a_spawned_process_answers_the_same(objects):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(answer_all, (objects,)).get(4 * SECONDS) == answer_all(objects)
    assert objects["forest"].predict(TABLE).tolist() == answer(objects["forest"])[0]


def wait_for(pids):
    """Exit codes of children; those that hang are killed."""
    codes = []
    for pid in pids:
        for _ in range(SECONDS * 100):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                break
            signal.sigtimedwait([], 0.01)
        else:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        codes.append(os.waitstatus_to_exitcode(status))
    return codes


def test_forked_children_answer_and_extract_after_use(objects):
    """As under gunicorn with --preload; PyTorch's threads, in use here, are not there."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        big = torch.rand(500, 2000)
        expected, total = answer_all(objects), float((big @ big.T).sum())
        pids = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                same = answer_all(objects) == expected and abs(float((big @ big.T).sum()) / total - 1) < 1e-4
                same &= print_program(approximate_model(objects["activations"], layers="all")) == expected["program"]
                os._exit(0 if same else 3)
            pids.append(pid)
        assert wait_for(pids) == [0, 0]
    finally:
        torch.set_num_threads(threads)


class Answers(Dataset):
    """The module's answers, image by image."""

    def __init__(self, module, norms):
        self.module, self.norms = module, norms

    def __len__(self):
        return len(self.norms)

    def __getitem__(self, index):
        return self.module(self.norms[index : index + 1])[0]


def test_workers_of_a_data_loader_answer_the_same(objects):
    module = objects["module"]
    norms = make_activations(40).norms[module.start]
    batches = list(DataLoader(Answers(module, norms), batch_size=8, num_workers=2, timeout=SECONDS))
    assert torch.equal(torch.cat(batches), module(norms))


def test_threads_share_objects(objects):
    expected = answer_all(objects)
    fresh = pickle.loads(pickle.dumps({name: objects[name] for name in ("forest", "evaluator", "module")}))
    with ThreadPoolExecutor(4) as pool:  # compiled by several threads at once
        for made in pool.map(answer_all, [fresh] * 8):
            assert made == {name: expected[name] for name in fresh}

    async def ask():
        return await asyncio.gather(*(asyncio.to_thread(answer, objects["forest"]) for _ in range(4)))

    assert asyncio.run(ask()) == [expected["forest"]] * 4


def test_an_interrupt_leaves_objects_whole(objects):
    def stop(number, frame):
        raise KeyboardInterrupt

    expected = answer_all(objects)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for delay in (0.001, 0.003, 0.01, 0.03):
            signal.setitimer(signal.ITIMER_REAL, delay)
            with pytest.raises(KeyboardInterrupt):
                while True:
                    answer(objects["forest"]), answer(objects["evaluator"])
                    approximate_model(objects["activations"])
            assert answer_all(objects) == expected
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
