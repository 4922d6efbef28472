"""What commands compare with: plain forms of operators and measures, which a clone has in ``tools/rivals``."""

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ..utils.errors import InputError

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "rivals"


@cache
def load_rival(name: str) -> ModuleType:
    """Import ``tools/rivals/NAME.py``.

    Raises:
        InputError: this is an installed copy, which comes without them.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        raise InputError("what vosplug is compared with is not installed: run the command in a clone, as tools/*.py")
    spec = spec_from_file_location(f"vosplug_rivals_{name}", path)
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
