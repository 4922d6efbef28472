"""Damaged files: an error in one line or the same content, in little time and memory."""

import random
import resource
import time

import pytest

from vosplug.utils.errors import VosplugError
from vosplug.utils.notices import collected

from .mutations import equal, mutated, originals

LONGEST, LARGEST = 10.0, 2**20  # seconds for one file; KiB of memory for all of them


def survey(folder, count, seed):
    """Read ``count`` damaged files; what went wrong, and what was neither refused nor the same, by name of the file."""
    known = originals(folder)
    right = {original.name: original.read(_written(folder, original.name, original.data)) for original in known}
    wrong, silent = [], {original.name: 0 for original in known}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        original = rng.choices(known, [one.weight for one in known])[0]
        path = _written(folder, original.name, mutated(original.data, rng))
        begin = time.monotonic()
        try:
            with collected():
                found = original.read(path)
        except VosplugError as error:
            if "\n" in str(error).strip() or original.name not in str(error):
                wrong.append(f"{number}, {original.name}: {error}")
        except Exception as error:
            wrong.append(f"{number}, {original.name}: {type(error).__name__}: {error}")
        else:
            if not equal(found, right[original.name]):
                silent[original.name] += 1
                if original.exact:
                    wrong.append(f"{number}, {original.name}: other content, and no error")
        if time.monotonic() - begin > LONGEST:
            wrong.append(f"{number}, {original.name}: took {time.monotonic() - begin:.0f} s")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return wrong + ([f"{used} KiB of memory"] if used > LARGEST else []), silent


def _written(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def test_damaged_files(tmp_path, capfd):
    wrong, silent = survey(tmp_path, 2000, seed=0)
    assert not wrong
    assert "Traceback" not in capfd.readouterr().err  # decoders may complain there


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_damaged_files(tmp_path):
    wrong, silent = survey(tmp_path, 100_000, seed=1)
    print(silent)
    assert not wrong
