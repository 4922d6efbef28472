"""Errors that a user can cause. Every command prints them as one line and exits non-zero."""

import difflib
from collections.abc import Iterable


class VosplugError(Exception):
    """Base of all errors whose message is meant for a user: what, where, what was expected, what to do."""


class ConfigError(VosplugError):
    """A config file, a registered type or an option is wrong."""


class DataError(VosplugError):
    """A data set, video, image or mask on disk is wrong."""


class CheckpointError(VosplugError):
    """A checkpoint cannot be read, is not safe to read, or does not fit the model."""


class InputError(VosplugError):
    """An argument of a command or of a public function is wrong."""


class OutputError(VosplugError):
    """A result cannot be written."""


class TrainingError(VosplugError):
    """A training run cannot go on (a loss that is not finite, for instance)."""


class ModelError(VosplugError):
    """A model computes what cannot be used: numbers that are not finite."""


class DataWarning(UserWarning):
    """Data can be read, but may mean something else than it says; see :func:`vosplug.utils.notices.warn`."""


def worker_was_killed(error: BaseException) -> bool:
    """Whether torch tells by ``error`` that a data worker was killed; it does so from a signal, at any point."""
    return isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error)


KILLED_WORKER = "a data worker was killed (out of memory?); use a smaller train_dataloader.num_workers or batch_size"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest of ``known``, or an empty string if none is close."""
    known = {str(name).lower(): str(name) for name in known}
    close = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    return f" Did you mean {known[close[0]]!r}?" if close else ""
