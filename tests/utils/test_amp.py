"""Mixed precision: names, and what a device computes in."""

import logging

import pytest
import torch

from vosplug.utils import amp


@pytest.fixture
def device(monkeypatch):
    """A function that makes devices compute in bf16 or not."""
    def pretend(cpu: bool, cuda: bool) -> None:
        monkeypatch.setattr(amp, "computes_bf16", lambda kind: {"cpu": cpu, "cuda": cuda}[kind])
        amp._tell_of_emulation.cache_clear()
    return pretend


@pytest.mark.parametrize(("kind", "able", "expected"), [
    ("cpu", True, torch.bfloat16), ("cpu", False, None), ("cuda", True, torch.bfloat16), ("cuda", False, torch.float16),
])
def test_auto_is_what_the_device_computes_in(device, kind, able, expected):
    device(cpu=able, cuda=able)
    assert amp.autocast_type("auto", kind) == expected
    assert amp.autocast_type(None, kind) is None
    assert amp.autocast_type("fp16", torch.device(kind)) == torch.float16


def test_emulation_is_used_where_asked_for_and_told_of_once(device, caplog):
    device(cpu=False, cuda=False)
    with caplog.at_level(logging.WARNING, logger="vosplug"):
        assert [amp.autocast_type("bf16", "cpu") for _ in range(2)] == [torch.bfloat16] * 2
    assert sum("no bf16 instructions" in record.message for record in caplog.records) == 1
    device(cpu=True, cuda=False)
    assert amp.autocast_type("bf16", "cpu") == torch.bfloat16
    assert len(caplog.records) == 1


def test_this_machine_knows_what_it_computes_in():
    assert amp.computes_bf16("cpu") is torch.ops.mkldnn._is_mkldnn_bf16_supported()
