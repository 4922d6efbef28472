"""The bars that commands show."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextlib.contextmanager
def progress_bar(what: str, total: int | None, unit: str = "", *, console: "Console | None" = None,
                 transient: bool = False, shown: bool = True) -> Iterator[Callable[..., None]]:
    """A bar (or a counter, where ``total`` is unknown); gives the function that moves it on by one.

    Args:
        what: in front of the bar.
        total: number of steps.
        unit: behind it; the function takes another text for there.
        console: to draw on; that of standard output by default.
        transient: the bar goes when all is done.
        shown: False draws nothing.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
               TimeRemainingColumn())
    with Progress(*columns, console=console, transient=transient, disable=not shown) as bar:
        task = bar.add_task(unit, total=total)
        yield lambda text=unit: bar.update(task, advance=1, description=text)
