"""Other values for the options of parts, and whether two parts can be told apart by what they answer."""

import copy
import dataclasses
import inspect
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import nn

from vosplug.registry import MODELS
from vosplug.structures import Level
from vosplug.utils.errors import VosplugError

NO_WORD, NO_PART = "no such word", dict(type="NoSuchPart")
GN = dict(type="GN", num_groups=1)
# Other values of options, by name, where no rule knows them; tried before those of the rules.
OTHERS: dict[str, list] = {
    "norm": [GN, dict(type="GN", num_groups=2), "LN"], "out_norm": [GN], "multi_grid": [(2, 1)], "last": ["c4", "c3"],
    "fusion": [dict(type="LastStage"), dict(type="TopDownFusion", channels=5)], "fuser": [dict(type="CBAMFuser")],
    "prior": [dict(type="LocalityPrior")], "losses": [[dict(type="DiceLoss")]], "weights": ["no_such_file.pth"],
    "table": [{1: (0.5,) * 4, 2: (0.5,) * 4}], "low_level": ["c3"],
    "position": [dict(type="SinusoidalPosition"), dict(type="LearnedPosition")],
    "activation": [dict(type="FilterResponseNorm"), "softmax"],
    "init_cfg": [dict(type="Constant", layer="Conv2d", val=1)], "policy": [dict(type="Fully")],
    "memory": [dict(type="FrameBank", every=1), dict(type="FrameBank", max_frames=1, keep_prompts=False)],
    "names": [("c4", "c3")], "foreground": [dict(rotation=(80,))], "background": [dict(rotation=(80,))],
    "deformable": [dict(type="GatedDeformableAttention", groups=4)], "shallow": ["c2"], "deep_level": ["c3"],
}


def options_of(cls: type) -> list[inspect.Parameter]:
    """Parameters of the constructor that configs can name."""
    return [p for p in inspect.signature(cls).parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def other_values(name: str, value: Any, annotation: Any = "") -> list:
    """Values that an option might have instead of ``value``; words are asked for by :func:`words_of`."""
    if isinstance(value, bool):
        return [not value]
    found = copy.deepcopy(OTHERS.get(name, []))
    if value is None and "dict" in str(annotation) and not found:
        found = [NO_PART] if "list" not in str(annotation) else [[NO_PART]]
    if isinstance(value, int):
        found += [value + 1, 2 * value, value // 2, 1, 2, 3, 12]
    elif isinstance(value, float):
        found += [2 * value, value / 2, value + 0.25, 0.0, 1.0]
    elif isinstance(value, Level):
        found.append(Level(value.channels + 1, value.stride))
    elif isinstance(value, Mapping):
        found += others_of_dict(value)
    elif isinstance(value, (list, tuple)):
        found += others_of_sequence(name, value)
    elif value is None:
        found += [1, 2, 3] if "int" in str(annotation) else []
        found += [0.5, 2.0] if "float" in str(annotation) else []
        found += [False, True] if "bool" in str(annotation) else []
    if "None" in str(annotation):
        found.append(None)
    return [other for other in found if type(other) is not type(value) or other != value]


def others_of_dict(value: Mapping) -> list[dict]:
    """One entry changed, or one default of the part that a config is of: the first value of each, then the second."""
    parameters = {}
    if isinstance(value.get("type"), str) and (cls := MODELS.get(value["type"])) is not None:
        parameters = {p.name: p for p in options_of(cls) if p.default is not p.empty}
    inner = {**value, **{name: p.default for name, p in parameters.items() if name not in value}}
    columns = [[{**value, key: other} for other in other_values(
        key, x, parameters[key].annotation if key in parameters else "")] for key, x in inner.items()]
    return [changed for row in zip_longest(*columns) for changed in row if changed is not None][:8]


def others_of_sequence(name: str, value: list | tuple) -> list:
    """All entries changed, one of them changed, one less, one more, turned round."""
    make = type(value) if type(value) in (list, tuple) else list
    inner = [other_values("", x) for x in value]
    found = [make(others[k] for others in inner) for k in (0, 2) if all(len(others) > k for others in inner)]
    found += [make([*value[:at], other, *value[at + 1 :]]) for at, others in enumerate(inner) for other in others[:2]]
    return [*found, make(value[:-1]), make([*value, *value[-1:]]), make(value[::-1])]


def words_of(build: Callable[[Any], Any]) -> list[str]:
    """Words that an option takes, by the refusal of another one."""
    try:
        build(NO_WORD)
    except VosplugError as error:
        if known := re.search(r"must be (?:one of )?(.*?)(?: or None)?, (?:got|not)", str(error)):
            return [word.strip("'\" ") for word in re.split(r",| or ", known[1])]
    except Exception:  # not a word at all, or one that the builder gives
        return []
    return []


def scatter_weights(module: nn.Module) -> None:
    """Give every weight a value of its own, the same one for the same name: what starts at zero is seen too."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            draw = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            noise = torch.randn(p.shape, generator=draw)
            p.copy_(noise / max(1, p[0].numel()) ** 0.5 if p.dim() > 1 else p + 0.2 * noise)


def answers(part: Any, ask: Callable[[Any], Any]) -> Iterator[Any]:
    """What can be seen of a part, the cheapest first: its weights, and what it answers at rest and in training."""
    if not isinstance(part, nn.Module):
        torch.manual_seed(0)
        found = ask(part)
        yield from found if inspect.isgenerator(found) else [found]
        return
    if getattr(part, "init_cfg", None):  # as training begins
        logging.getLogger("mmengine").setLevel(logging.ERROR)
        torch.manual_seed(0)
        part.init_weights()
    yield [(name, x.clone()) for name, x in part.state_dict().items()], [
        (name, p.requires_grad) for name, p in part.named_parameters()]
    scatter_weights(part)
    for training in (False, True):
        torch.manual_seed(0)
        yield ask(part.train(training))
        yield [x.clone() for x in part.buffers()]


class Compared:
    """The answers of a part as it is, and of others beside it.

    Args:
        build: a part, from changes of its options.
        ask: what to ask a part.
    """

    def __init__(self, build: Callable[[dict], Any], ask: Callable[[Any], Any]):
        self.build, self.ask = build, ask
        self.known: list | None = None

    def verdict(self, changes: dict) -> str:
        """``changed``, ``refused``, ``crashed`` or ``same``: what comes of changes."""
        if self.known is None:
            self.known = list(answers(self.build({}), self.ask))
        try:
            answers_now = answers(self.build(changes), self.ask)
            for before in self.known:
                if not same(before, next(answers_now, None)):
                    return "changed"
        except VosplugError:
            return "refused"
        except Exception:  # a value that no rule can know to be wrong here, such as channels that inputs do not have
            return "crashed"
        return "same"


def same(a: Any, b: Any) -> bool:
    """Whether two answers are alike, up to what the order of sums does."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(
            a.detach().double(), b.detach().double(), rtol=1e-4, atol=1e-6, equal_nan=True)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b)
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b or (a != a and b != b) or abs(a - b) <= 1e-6 + 1e-4 * abs(b)
    return a == b


def has_effect(option: inspect.Parameter, config: dict, compared: Compared) -> bool:
    """Whether an option changes something in an example, or has no other value there that is not refused."""
    value = config.get(option.name, None if option.default is option.empty else option.default)
    verdicts = set()
    for other in candidates(option, value, compared):
        verdicts.add(compared.verdict({option.name: other}))
        if "changed" in verdicts:
            return True
    return verdicts == {"refused"}


def candidates(option: inspect.Parameter, value: Any, compared: Compared) -> list:
    """Other values of an option."""
    found = other_values(option.name, value, option.annotation)
    if isinstance(value, str) or (value is None and "str" in str(option.annotation)):
        words = words_of(lambda word: compared.build({option.name: word}))
        found = [*(word for word in words if word != value), *found, NO_WORD]
    return found
