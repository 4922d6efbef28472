"""vosplug: a toolbox for efficient video object and video instance segmentation."""

__version__ = "0.1.0"

from pathlib import Path as _Path

# In a clone the operators lie beside this package, in ops/; installed, they are vosplug/ops.
_here = _Path(__file__).resolve().parent
if not (_here / "ops").exists() and (_here.parent / "ops" / "__init__.py").exists():
    __path__.append(str(_here.parent))
