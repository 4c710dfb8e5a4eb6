from multiprocessing import get_context

import pytest
import torch

from refseg.metrics import Counts
from refseg.protocols.standard import Standard

pytest.importorskip("torchmetrics")

from refseg.training.running_metrics import RunningMetrics

COUNTS = Counts(
    torch.tensor([1, 9, 0, 7, 0, 3]),
    torch.tensor([2, 10, 4, 7, 0, 9]),
    torch.tensor([True, True, True, True, False, False]),
    torch.tensor([True, True, False, True, False, True]),
)


def rows(start, stop):
    return Counts(*(column[start:stop] for column in COUNTS))


def values(running):
    return {name: value.item() for name, value in running.compute().items()}


@pytest.mark.parametrize("cuts", [[0, 6], [0, 1, 2, 3, 4, 5, 6], [0, 4, 6]])
def test_batches_do_not_change_a_metric(cuts):
    running = RunningMetrics()
    for start, stop in zip(cuts, cuts[1:], strict=False):
        running.update(*rows(start, stop))
    assert values(running) == Standard().summarize(COUNTS)


def test_merging_two_halves_gives_the_whole():
    one, other = RunningMetrics(), RunningMetrics()
    one.update(*rows(0, 5))
    other.update(*rows(5, 6))
    one.merge_state(other)
    assert values(one) == Standard().summarize(COUNTS)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_undefined_is_absent():
    running = RunningMetrics()
    assert values(running) == {}
    running.update(*rows(0, 4))
    assert "N-acc" not in values(running)


def test_a_reset_forgets():
    running = RunningMetrics()
    running.update(*rows(0, 4))
    running.reset()
    running.update(*COUNTS)
    assert values(running) == Standard().summarize(COUNTS)


UNEVEN, ONE_IDLE = (0, 5, 6), (0, 6, 6)


def _rank(rank, meeting_point, answers):
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=2)
    for cuts in (UNEVEN, ONE_IDLE):
        running = RunningMetrics()
        if cuts[rank] < cuts[rank + 1]:
            running.update(*rows(cuts[rank], cuts[rank + 1]))
        answers.put(values(running))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_ranks_agree_with_one_process_even_if_one_has_no_expressions(tmp_path):
    context = get_context("spawn")
    answers = context.SimpleQueue()
    ranks = [context.Process(target=_rank, args=(rank, tmp_path / "meet", answers)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    assert [answers.get() for _ in range(4)] == [Standard().summarize(COUNTS)] * 4
