"""Scoring many sequences, in this process or in several, without losing what is done when one of them has a fault."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

import cv2

from ..utils.errors import VosplugError
from ..utils.workers import hold_interrupts


class Job(Protocol):
    """One sequence to score; it is sent to another process, so it has to be picklable."""

    name: str

    def score(self) -> dict:
        """Return the result of the sequence, or raise :class:`VosplugError`."""


def run_jobs(jobs: Sequence[Job], workers: int = 1,
             done: Callable[[str], None] = lambda name: None) -> tuple[dict[str, dict], dict[str, str]]:
    """Score all jobs.

    Args:
        jobs: with different names.
        workers: number of processes; 1 works in this one.
        done: called with the name of every job that has ended.

    Returns:
        Results and faults (one line each) by name, both sorted by name; every job is in one of the two.
    """
    workers = min(workers, len(jobs))
    outcomes = {}
    for name, outcome in (_run_here(jobs) if workers <= 1 else _run_in_processes(jobs, workers)):
        outcomes[name] = outcome
        done(name)
    outcomes = dict(sorted(outcomes.items()))
    return ({name: outcome for name, outcome in outcomes.items() if isinstance(outcome, dict)},
            {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, str)})


def available_processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_here(jobs: Sequence[Job]) -> Iterator[tuple[str, dict | str]]:
    threads = cv2.getNumThreads()
    _one_thread()
    try:
        for job in jobs:
            yield job.name, _outcome(job)
    finally:
        cv2.setNumThreads(threads)


def _run_in_processes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, dict | str]]:
    # Fresh processes: a fork would copy the locks of this one's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        with hold_interrupts():
            futures = {pool.submit(_outcome, job): job.name for job in jobs}
        try:
            for future in as_completed(futures):
                name = futures[future]
                try:
                    yield name, future.result()
                except BrokenProcessPool:
                    yield name, (f"sequence {name}: not scored, because a worker process ended unexpectedly (out of "
                                 "memory?); try fewer workers")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _outcome(job: Job) -> dict | str:
    """The result of a job, or its fault in one line; nothing that goes wrong in one job may end the others."""
    try:
        return job.score()
    except VosplugError as error:
        return " ".join(str(error).split())
    except Exception as error:
        return " ".join(f"sequence {job.name}: {type(error).__name__}: {error}".split())


def _one_thread() -> None:
    """The pictures are small: threads inside OpenCV cost more than they bring, and the processes fill the machine."""
    cv2.setNumThreads(1)
