"""vosplug: a toolbox for efficient video object and video instance segmentation."""

__version__ = "0.1.0"

import sys as _sys
from importlib import util as _util
from pathlib import Path as _Path


class _OperatorsOfClone:
    """Finds ``vosplug.ops``, and nothing else, in ``ops/`` beside this package: installed, it is ``vosplug/ops``."""

    @staticmethod
    def find_spec(name: str, path=None, target=None):
        return _util.spec_from_file_location(name, _operators) if name == "vosplug.ops" else None


_here = _Path(__file__).resolve().parent
_operators = _here.parent / "ops" / "__init__.py"
if not (_here / "ops").exists() and _operators.exists():
    _sys.meta_path.insert(0, _OperatorsOfClone)
