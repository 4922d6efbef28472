"""Compute the tiny manifests with the public code of others.

    python tests/parity/official/make.py stcn CHECKOUT_OF_STCN     # writes tests/parity/tiny/stcn.json

One family a run: all of them call their packages ``model`` or ``networks``. torchvision has to be installed.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.parity.official.common import on_cpu  # noqa: E402

FAMILIES = {"stcn": "stcn", "xmem": "stcn", "aot": "aot", "deaot": "aot", "cfbi": "cfbi", "frtm": "frtm",
            "g_frtm": "g_frtm"}


def main(argv: list[str] | None = None) -> int:
    """Write the manifest of one family."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("checkout", type=Path, help="of the public repository, at the commit that the manifest names")
    options = parser.parse_args(argv)
    with on_cpu(options.checkout):
        module = importlib.import_module(f"tests.parity.official.{FAMILIES[options.family]}")
        content = getattr(module, options.family)()
    path = ROOT / "tests" / "parity" / "tiny" / f"{options.family}.json"
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"') + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {len(content['outputs'])} outputs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
