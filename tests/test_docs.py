"""Commands in the documentation have the options that they show, and configs the keys that they change."""

import re
import shlex

import pytest

from tests.commands import command_module
from vosplug.cli.common import load_config

PAGES = (
    "README.md",
    "docs/aot.md",
    "docs/cfbi.md",
    "docs/data_and_weights.md",
    "docs/deformable.md",
    "docs/distillation.md",
    "docs/efficientvis.md",
    "docs/frtm.md",
    "docs/inference.md",
    "docs/parity.md",
    "docs/results.md",
    "docs/reuse_gate.md",
    "docs/spvos.md",
    "docs/sst.md",
    "docs/ttvos.md",
    "docs/your_video.md",
)


def blocks(text: str) -> list[str]:
    """Contents of the fenced blocks of commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in ("", "bash")]


def commands(block: str) -> list[list[str]]:
    """Words of the ``python tools/...`` commands of a block, shell variables replaced by their (first) values."""
    variables, found = {}, []
    block = re.sub(r'="([^"]*)"', lambda match: '="' + " ".join(match[1].split()) + '"', block.replace("\\\n", " "))
    for line in block.splitlines():
        line = re.sub(r"\$(\w+)", lambda match: variables.get(match[1], match[0]), line.strip())
        if assignment := re.match(r'(\w+)="(.*)"$', line):
            variables[assignment[1]] = assignment[2]
        elif loop := re.match(r"for (\w+) in (\S+)", line):
            variables[loop[1]] = loop[2]
        elif line.startswith("python tools/") and not re.search(r"\[--|\.\.\.| CONFIG ", line):
            found.append(shlex.split(line, comments=True)[1:])
    return found


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page(page, root):
    found = [words for block in blocks((root / page).read_text()) for words in commands(block)]
    assert found
    for script, *words in found:
        assert (root / script).is_file(), script
        command = command_module(script.split("/")[-1].removesuffix(".py"))
        try:
            options = command.build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page}: {script} does not take {' '.join(words)}")
        for config, changes in (("config", "cfg_options"), ("compare", "cfg_options2")):
            if getattr(options, changes, None) and getattr(options, config) is not None:
                load_config(getattr(options, config), cfg_options=getattr(options, changes))


def test_variables_and_continuations_are_replaced():
    loop = "for T in 0.5 1; do\n  python tools/train.py c --cfg-options $A \\\n    z=$T  # note\ndone\n"
    block = 'A="x=1\n   y=2"\n' + loop
    assert commands(block) == [["tools/train.py", "c", "--cfg-options", "x=1", "y=2", "z=0.5"]]
