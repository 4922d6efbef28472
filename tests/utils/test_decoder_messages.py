"""Hearing what decoders print."""

import os

import pytest

from vosplug.utils.decoder_messages import decoder_messages


@pytest.mark.parametrize("line", [
    "[h264 @ 0x55d2f0a1] co located POCs unavailable", "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1f] moov atom not found",
    "Corrupt JPEG data: 12 extraneous bytes before marker 0xd9", "Premature end of JPEG file",
    "Truncating packet of size 5036 to 2562", "overread 4", "Unexpected element. Expected: LIST. Got: JUNK.",
    "Unexpected list type. Expected: hdrl. Got: odml."])
def test_lines_of_decoders_are_heard_and_not_shown(line, capfd):
    with decoder_messages() as heard:
        os.write(2, f"{line}\n".encode())
    assert len(heard) == 1 and line.endswith(heard[0])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("line", ["warning: a line of ours", "Traceback (most recent call last):",
                                  "the packet is Truncating packet of size 3", "unexpected element"])
def test_other_lines_come_through(line, capfd):
    with decoder_messages() as heard:
        os.write(2, f"{line}\n".encode())
    assert not heard and capfd.readouterr().err == f"{line}\n"
