"""What all commands share: options, errors as one line, loading of configs and plugins."""

import argparse
import contextlib
import contextvars
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.errors import KILLED_WORKER, InputError, VosplugError, worker_was_killed
from ..utils.interrupts import Terminated, sigterm_as_interrupt
from ..utils.notices import as_lines

if TYPE_CHECKING:
    from mmengine.config import Config

RANDOM = "random ones (seed 0)"
"""Weights of a command that does not need a checkpoint."""

_running = contextvars.ContextVar("running", default=False)
_program: contextvars.ContextVar[str | None] = contextvars.ContextVar("program", default=None)


def command(main: Callable[[list[str] | None], int | None]) -> Callable[[list[str] | None], int]:
    """Decorate the ``main`` of a command: errors that a user can cause become one line and exit status 2.

    Warnings about data are one line each. Ctrl-C and SIGTERM end it with one line, too: outputs are finished, and the
    status is 130 or 143. A command that is called by another one leaves these two to it.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        nested = _running.get()
        token = _running.set(True)
        try:
            with contextlib.ExitStack() as stack:
                if not nested:
                    stack.enter_context(sigterm_as_interrupt())
                    stack.enter_context(as_lines(sys.stderr))
                return main(argv) or 0
        except VosplugError as error:
            print(error_line(error), file=sys.stderr)
            return 2
        except KeyboardInterrupt as error:
            if nested:
                raise
            terminated = isinstance(error, Terminated)
            print("terminated" if terminated else "interrupted", file=sys.stderr)
            return 143 if terminated else 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:  # what no part of vosplug foresaw, but the machine is at fault: a full disk, ...
            names = [str(name) for name in (error.filename, error.filename2) if name is not None]
            print(error_line(f"{', '.join(names) or 'system'}: {error.strerror or error}"), file=sys.stderr)
            return 2
        except (MemoryError, RuntimeError) as error:
            if worker_was_killed(error):  # told by a signal: outside of an iteration, or while its error is on its way
                print(error_line(KILLED_WORKER), file=sys.stderr)
                return 2
            if not _out_of_memory(error):
                raise
            print(error_line(f"there is not enough memory: use smaller sizes or fewer workers ({error})"),
                  file=sys.stderr)
            return 2
        finally:
            _running.reset(token)

    return run


def _out_of_memory(error: Exception) -> bool:
    """Whether an exception of Python or of torch, which has no class for it on the CPU, is about memory."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in ("can't allocate memory",
                                                                                 "CUDA out of memory"))


def error_line(error: Exception | str) -> str:
    """The one line that tells a user about an error."""
    return f"error: {' '.join(str(error).split())}"


@contextlib.contextmanager
def program(name: str) -> Iterator[None]:
    """Call the command that is run inside ``name`` in its usage; else it is called as its script."""
    token = _program.set(name)
    try:
        yield
    finally:
        _program.reset(token)


def new_parser(description: str) -> argparse.ArgumentParser:
    """A parser of the command that is run."""
    return argparse.ArgumentParser(prog=_program.get(), description=description)


def check_targets(*paths: str | os.PathLike | None) -> None:
    """Raise :class:`OutputError` now, not after the work, if a file of an option that was given cannot be written."""
    from ..utils.files import check_target

    for path in paths:
        check_target(path)


def positive_int(text: str) -> int:
    """Type of an option that takes a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def object_count(text: str) -> int:
    """Type of an option that takes a number of objects: as many as a mask can hold."""
    from ..utils.masks import MAX_OBJECTS

    value = positive_int(text)
    if value > MAX_OBJECTS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MAX_OBJECTS}, got {text}")
    return value


def add_config_options(parser: argparse.ArgumentParser, *, data_root: bool = True, work_dir: bool = True) -> None:
    """Add the options that every command with a config takes; leave out those that a command has no use for."""
    from ..utils.config_options import OptionsAction  # here, as mmengine takes a second to import

    group = parser.add_argument_group("options of the config")
    group.add_argument("--cfg-options", nargs="+", action=OptionsAction, default={}, metavar="KEY=VALUE",
                       help="change values of the config, e.g. model.memory.budget=4000 train_cfg.max_iters=10")
    group.add_argument("--plugin", action="append", default=[], metavar="FILE.py|MODULE", dest="plugins",
                       help="import a plugin before the config is used (may be given several times)")
    if data_root:
        group.add_argument("--data-root", metavar="DIR", help="folder of the data, instead of data_root of the config")
    if work_dir:
        group.add_argument("--work-dir", metavar="DIR", help="folder for logs and checkpoints")


def add_model_arguments(parser: argparse.ArgumentParser, weights: str | None = None) -> None:
    """Add CONFIG and CHECKPOINT.

    Args:
        weights: what is done without a checkpoint; by default one is needed.
    """
    parser.add_argument("config", help="config file, or the name of one that comes with vosplug")
    optional = {} if weights is None else {"nargs": "?"}
    parser.add_argument("checkpoint", help="weights" if weights is None else f"weights; {weights} without", **optional)


def choose_shipped(options: argparse.Namespace) -> None:
    """Where no config is named, take the model that comes with vosplug."""
    from ..weights import VOS

    if options.config is None and options.checkpoint is None:
        options.config, options.checkpoint = VOS.config, VOS.path


def open_config(options: argparse.Namespace, **changes: str | None) -> "Config":
    """The config of the command line with its ``--cfg-options``, after its plugins.

    Args:
        options: of :func:`add_config_options`, and ``config``.
        changes: ``data_root`` or ``work_dir``, where they are to replace those of the config.
    """
    return load_config(options.config, cfg_options=options.cfg_options, plugins=options.plugins, **changes)


def dataset_changes(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line changes of the data set of a config: the options of it that are given."""
    given = {name: getattr(options, name, None) for name in ("data_root", "split", "year", "sequences")}
    return {name: value for name, value in given.items() if value is not None}


def named_folder(text: str) -> tuple[str, Path]:
    """Name and folder of an argument NAME=MASKS, masks of a method and what to call it."""
    name, equals, folder = text.partition("=")
    if not equals or not Path(folder).is_dir():
        raise InputError(f"{text}: NAME=MASKS was expected, where MASKS is a folder of masks")
    return name, Path(folder)


def write_numbers(path: str | os.PathLike | None, numbers: Any) -> None:
    """Write what ``--json`` asks for, if it is given."""
    from ..utils.files import write_json

    if path is not None:
        write_json(path, numbers)


def load_config(path: str | os.PathLike, *, cfg_options: dict[str, Any] | None = None, plugins: Sequence[str] = (),
                data_root: str | None = None, work_dir: str | None = None) -> "Config":
    """Load a config with the options of :func:`add_config_options`; see :func:`vosplug.utils.configs.load_config`."""
    from ..utils import configs  # here, as mmengine takes a second to import

    return configs.load_config(path, cfg_options=cfg_options, plugins=plugins, data_root=data_root, work_dir=work_dir)
