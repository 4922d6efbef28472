"""Listing of registered parts."""

import json
import subprocess
import sys

import pytest

from vosplug.cli.list_plugins import list_parts, main
from vosplug.registry import HOOKS, KINDS, REGISTRIES


def test_every_kind_and_registry_is_listed(capsys):
    assert main(["--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == {*KINDS, *REGISTRIES}
    for kind, registry in KINDS.items():
        assert [row["name"] for row in listed[kind]] == sorted(registry.members())


def test_every_part_says_in_one_line_what_it_is():
    rows = [row for rows in list_parts().values() for row in rows]
    assert len(rows) > 20
    assert [row["name"] for row in rows if row["module"].startswith("vosplug.") and not row["summary"]] == []


@pytest.mark.parametrize("kind", ["matching head", "matching_head", "MATCHING_HEADS", "Matching-Heads"])
def test_a_kind_may_be_written_in_several_ways(kind):
    assert list(list_parts(kind)) == ["matching head"]


def test_a_misspelt_kind_is_refused(capsys):
    assert main(["bakbone"]) == 2
    assert "error: unknown kind 'bakbone'. Did you mean 'backbone'? Known: " in capsys.readouterr().err


def test_a_plugin_is_listed_beside_the_rest(tmp_path, capsys):
    plugin = tmp_path / "listed_plugin.py"
    plugin.write_text('from vosplug.registry import HOOKS\nfrom mmengine.hooks import Hook\n'
                      '@HOOKS.register_module()\nclass ListedHook(Hook):\n    """Does [nothing] at all."""\n')
    try:
        assert main(["hook", "--plugin", str(plugin)]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ListedHook"))
    finally:
        HOOKS.module_dict.pop("ListedHook")
    assert "listed_plugin" in line
    assert line.rstrip().endswith("Does [nothing] at all.")


def test_a_plugin_that_is_missing(capsys):
    assert main(["--plugin", "absent.py"]) == 2
    assert capsys.readouterr().err == "error: plugin file not found: absent.py\n"


def test_the_script_runs_from_a_clone(root, tmp_path):
    done = subprocess.run([sys.executable, str(root / "tools" / "list_plugins.py"), "memory"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("memory (")
