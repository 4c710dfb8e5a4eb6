"""Damaged and nonsensical requests; `benchmarks/service.py` sends a thousand to a true service."""

import random
import sys
from pathlib import Path

import pytest

from refseg.service.worker import run

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


def test_no_request_is_a_mistake_of_the_service(serve):
    import service as benchmark

    image, rng = benchmark.png(benchmark.DrawnScenes("test", 1)[0].image), random.Random(7)
    with serve(run) as client:
        for number in range(100):
            request = {"method": "POST", **benchmark.rubbish(rng, image)}
            try:
                answer = client.request(**request)
            except (ValueError, benchmark.httpx2.InvalidURL):  # which no client sends
                continue
            assert answer.status_code != 500, (number, request)
            if answer.status_code >= 400 and request["method"] != "HEAD":
                assert answer.json()["detail"] and "Traceback" not in answer.text, (number, request)


@pytest.mark.slow
def test_the_benchmark_runs_and_finds_nothing_wrong(monkeypatch, capsys):
    import service as benchmark

    monkeypatch.setattr(sys, "argv", ["service.py", "--tiny"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    said = capsys.readouterr().out
    assert ended.value.code == 0 and said.endswith("nothing was wrong\n"), said
    assert said.count("\n## ") == len(benchmark.PARTS)
