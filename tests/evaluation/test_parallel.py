"""Running many jobs: what one of them does must not touch the others."""

import os
from dataclasses import dataclass

import cv2
import pytest

from vosplug.evaluation.parallel import available_processors, run_jobs
from vosplug.utils.errors import DataError


@dataclass(frozen=True)
class FakeJob:
    name: str
    act: str = "score"

    def score(self):
        if self.act == "fault":
            raise DataError(f"{self.name} is\nwrong")
        if self.act == "crash":
            raise KeyError("x")
        if self.act == "die":
            os._exit(3)
        return {"name": self.name, "threads": cv2.getNumThreads(), "process": os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_results_and_faults(workers):
    jobs = [FakeJob("d"), FakeJob("b", "fault"), FakeJob("c", "crash"), FakeJob("a")]
    done = []
    results, faults = run_jobs(jobs, workers, done.append)
    assert list(results) == ["a", "d"]
    assert faults == {"b": "b is wrong", "c": "sequence c: KeyError: 'x'"}
    assert sorted(done) == ["a", "b", "c", "d"]
    assert {r["threads"] for r in results.values()} == {1}
    assert (os.getpid() in {r["process"] for r in results.values()}) == (workers == 1)


def test_threads_are_given_back():
    before = cv2.getNumThreads()
    run_jobs([FakeJob("a")], 1)
    assert cv2.getNumThreads() == before


def test_a_worker_that_dies_is_a_fault_not_a_hang():
    results, faults = run_jobs([FakeJob("a", "die"), FakeJob("b", "die")], 2)
    assert results == {}
    assert set(faults) == {"a", "b"}
    assert all("worker process ended unexpectedly" in fault for fault in faults.values())


def test_no_jobs_and_processors():
    assert run_jobs([], 4) == ({}, {})
    assert available_processors() >= 1
