"""What all commands share."""

import argparse
import subprocess
import sys

import pytest

from vosplug.cli.common import add_config_options, command, load_config, positive_int
from vosplug.utils.errors import ConfigError, DataError


@pytest.mark.parametrize(("outcome", "status", "line"), [
    (None, 0, ""), (3, 3, ""), (DataError("bad\n  mask"), 2, "error: bad mask\n"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
])
def test_the_outcome_of_a_command_becomes_its_exit_status(outcome, status, line, capsys):
    @command
    def main(argv=None):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    assert main([]) == status
    assert capsys.readouterr().err == line


def test_a_fault_of_the_program_is_not_hidden():
    @command
    def main(argv=None):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        main([])


def test_a_closed_pipe_is_no_fault():
    code = ("from vosplug.cli.common import command\n@command\ndef main(argv=None):\n"
            "    print('x' * 10**6, flush=True)\nraise SystemExit(main())")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_positive_int():
    assert positive_int("3") == 3
    for text in ("0", "-1", "x", "1.5"):
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            positive_int(text)


def test_config_options_are_collected():
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    args = parser.parse_args(["--cfg-options", "a.b=1", "c=x", "--cfg-options", "a.b=2", "--plugin", "p.py",
                              "--plugin", "q", "--data-root", "d", "--work-dir", "w"])
    assert args.cfg_options == {"a.b": 2, "c": "x"}
    assert args.plugins == ["p.py", "q"]
    assert (args.data_root, args.work_dir) == ("d", "w")
    assert parser.parse_args([]).cfg_options == {}


def test_options_that_a_command_has_no_use_for_can_be_left_out():
    parser = argparse.ArgumentParser()
    add_config_options(parser, data_root=False, work_dir=False)
    with pytest.raises(SystemExit):
        parser.parse_args(["--work-dir", "w"])


def test_load_config_passes_everything_on(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text("data_root = 'old'\nmodel = dict(depth=1)\n")
    plugin = tmp_path / "plugin_of_common.py"
    plugin.write_text("raise RuntimeError('loaded')\n")
    cfg = load_config(path, cfg_options={"model.depth": 2}, data_root="new", work_dir="w")
    assert (cfg.model.depth, cfg.data_root, cfg.work_dir) == (2, "new", "w")
    with pytest.raises(ConfigError, match="loaded"):
        load_config(path, plugins=[str(plugin)])


NESTED = """
import os, signal, sys
from vosplug.cli.common import command

@command
def inner(argv=None):
    with open('begun', 'w'):
        os.kill(os.getpid(), signal.{signal})
    return 0

@command
def outer(argv=None):
    try:
        if inner():
            raise AssertionError('the inner command swallowed the signal')
    finally:
        open('cleaned', 'w').close()

raise SystemExit(({call})())
"""


@pytest.mark.parametrize("call", ["inner", "outer"])
@pytest.mark.parametrize(("name", "status", "line"), [("SIGTERM", 143, "terminated\n"),
                                                      ("SIGINT", 130, "interrupted\n")])
def test_signals_end_a_command_with_one_line(tmp_path, call, name, status, line):
    """A command within a command, as in the tour, leaves it to the outer one."""
    code = NESTED.format(signal=name, call=call)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, line)
    assert (tmp_path / "cleaned").exists() == (call == "outer")
