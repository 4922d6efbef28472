"""The command ``vosplug``."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

from vosplug.cli import main as command
from vosplug.cli.main import VERBS, main


def test_every_verb_has_a_command_and_every_command_a_verb(root):
    for module, first, what in VERBS.values():
        parser = import_module(f"vosplug.{module}").build_parser()
        assert parser.description and what
        if first:
            parser.parse_args([*first, "--gt", "g", "--pred", "p"])
    commands = {path.stem for path in (root / "vosplug" / "cli").glob("*.py") if "\ndef main(" in path.read_text()}
    assert {f"cli.{name}" for name in commands - {"main"}} == {m for m, _, _ in VERBS.values() if m.startswith("cli.")}


def test_a_verb_gets_its_arguments_and_its_name(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    assert "usage: vosplug plot " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["tracks", "--help"])
    assert "usage: vosplug eval youtube_vis" in capsys.readouterr().out
    assert main(["list", "memory", "--json"]) == 0
    assert '"FrameBank"' in capsys.readouterr().out
    seen = []
    monkeypatch.setattr(command, "import_module", lambda name: type("M", (), {
        "main": staticmethod(lambda argv: seen.append((name, argv)) or 3)}))
    assert main(["tracks", "--gt", "g"]) == main(["train", "c", "--resume"]) == 3
    assert seen == [("vosplug.cli.eval_masks", ["youtube_vis", "--gt", "g"]), ("vosplug.cli.train", ["c", "--resume"])]


def test_all_verbs_are_listed(capsys):
    assert (main(["--help"]), main([])) == (0, 2)
    shown = capsys.readouterr().out
    assert all(len(re.findall(rf"^  {verb} +{re.escape(what)}$", shown, flags=re.MULTILINE)) == 2
               for verb, (_, _, what) in VERBS.items())


@pytest.mark.parametrize("words, message", [(["trian"], "Did you mean 'train'"), (["plot_speed"], "'plot_speed'")])
def test_an_unknown_verb_is_one_line(words, message, capsys):
    assert main(words) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: there is no verb") and "\n" not in line and message in line


def test_the_package_runs_as_a_command(root):
    done = subprocess.run([sys.executable, "-m", "vosplug", "list", "frame policy"], cwd=root, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0 and "SemiMixed" in done.stdout
    done = subprocess.run([sys.executable, "tools/list_plugins.py", "nothing"], cwd=root, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 2 and done.stderr.startswith("error: unknown kind 'nothing'")
