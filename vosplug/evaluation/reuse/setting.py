"""One way for a gated model to decide."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ...models.segmentors.reuse_gated import ReuseGated
from ...models.segmentors.reuse_rules import check_decisions
from ...registry import GATES
from ...utils.errors import InputError

GATE_NAMES = ("own", "oracle", "scheduled", "random", "change")
PLANNED = ("oracle", "scheduled", "random")
"""Gates that look at nothing of the network."""


@dataclass(frozen=True)
class GateSetting:
    """A gate, and how its answers are used.

    Attributes:
        gate: one of ``GATE_NAMES``.
        tau, mode, tau_copy, max_reuse: see :class:`~vosplug.models.segmentors.ReuseGated`.
        reference: of the oracle.
        options: of the gate: ``every`` or ``rate``.
    """

    gate: str = "own"
    tau: float = 0.7
    mode: str = "translate"
    tau_copy: float | None = None
    max_reuse: int | None = None
    reference: str | None = None
    options: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The curve that the setting is a point of."""
        gate = f"{self.gate} ({self.reference})" if self.reference else self.gate
        copy = f" {self.tau_copy:g}" if self.tau_copy is not None else ""
        limit = f", at most {self.max_reuse} in a row" if self.max_reuse is not None else ""
        return f"{gate}, {self.mode}{copy}{limit}"

    @property
    def point(self) -> str:
        """What differs along the curve."""
        if self.options:
            return ", ".join(f"{name} {value:g}" for name, value in self.options.items())
        return f"tau {self.tau:g}"

    def as_json(self) -> dict:
        """All of it."""
        return {"gate": self.gate, "mode": self.mode, "tau": self.tau, "tau_copy": self.tau_copy,
                "max_reuse": self.max_reuse, "reference": self.reference, **(self.options or {})}


def settings_of(gates: Sequence[str], modes: Sequence[str], *, taus: Sequence[float], tau_copies: Sequence[float],
                every: Sequence[int], rates: Sequence[float], references: Sequence[str],
                max_reuse: Sequence[int | None] = (None,)) -> list[GateSetting]:
    """All combinations; fusion only where a ``tau_copy`` is above tau, and for gates whose answers are graded.

    The thresholds of the change gate are not among them: they depend on its answers, see :func:`change_settings`.
    """
    swept = []
    for gate in gates:
        if gate == "scheduled":
            swept += [GateSetting(gate, 0.5, options={"every": value}) for value in every]
        elif gate == "random":
            swept += [GateSetting(gate, 0.5, options={"rate": value}) for value in rates]
        elif gate == "oracle":
            swept += [GateSetting(gate, tau, reference=reference) for reference in references for tau in taus]
        elif gate == "own":
            swept += [GateSetting(gate, tau, max_reuse=limit) for limit in max_reuse for tau in taus]
    return [found for setting in swept for found in in_modes(setting, modes, tau_copies)]


def in_modes(setting: GateSetting, modes: Sequence[str], tau_copies: Sequence[float]) -> Iterator[GateSetting]:
    """The setting in each of the modes that make sense."""
    for mode in modes:
        if mode != "fusion":
            yield replace(setting, mode=mode)
        elif setting.options is None:
            yield from (replace(setting, mode=mode, tau_copy=value) for value in tau_copies if value > setting.tau)


@contextmanager
def deciding(model: nn.Module, setting: GateSetting) -> Iterator[None]:
    """Let a gated model decide so for a while. The table of an oracle is set video by video.

    Raises:
        InputError: the model has no reuse gate.
    """
    if not isinstance(model, ReuseGated):
        raise InputError(f"{type(model).__name__} has no reuse gate: it is for models of the type ReuseGated")
    check_decisions(setting.tau, setting.mode, setting.tau_copy, setting.max_reuse, model.on_memory_frame)
    names = ("gate", "tau", "mode", "tau_copy", "max_reuse")
    before = {name: getattr(model, name) for name in names}
    if setting.gate != "own":
        model.gate = build_gate(setting).to(next(model.parameters()).device)
    for name in names[1:]:
        setattr(model, name, getattr(setting, name))
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def build_gate(setting: GateSetting) -> nn.Module:
    """The gate that stands in for the model's own."""
    kinds = {"scheduled": "ScheduledGate", "oracle": "ScheduledGate", "random": "RandomGate", "change": "ChangeGate"}
    options = {"table": {}} if setting.gate == "oracle" else setting.options or {}
    return GATES.build(dict(type=kinds[setting.gate], **options))
