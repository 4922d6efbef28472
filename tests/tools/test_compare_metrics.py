"""The comparison of whole commands."""

import json
import sys

import pytest

BUSY = f"{sys.executable} -c 'import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass'"
IDLE = f"{sys.executable} -c 'import time; time.sleep(0.3)'"


def test_counts_processor_time_not_waiting(tool, tmp_path, capsys):
    out = tmp_path / "n.json"
    assert tool("compare_metrics").main([f"idle={IDLE}", f"busy={BUSY}", "--repeat", "1", "--json", str(out)]) == 0
    numbers = json.loads(out.read_text())
    assert numbers["busy"]["cpu_s"][0] > 0.28
    assert numbers["idle"]["cpu_s"][0] < numbers["busy"]["cpu_s"][0]
    assert numbers["idle"]["wall_s"][0] > 0.28
    assert "CPU / first" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "message"), [
    ("python", "expected NAME=COMMAND"), ("a=/no/such/program", "a: /no/such/program cannot be started"),
    (f"a={sys.executable} -c 'import sys; sys.exit(\"bad\")'", "a: ended with status 1: bad"),
])
def test_faults_are_one_line(tool, text, message, capsys):
    assert tool("compare_metrics").main([text]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
