"""Parameters and multiply-accumulates of the ten configs, derived from the public networks."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from vosplug.evaluation.stage_counter import without_fast_attention
from vosplug.registry import MATCHING_HEADS, SEGMENTORS
from vosplug.structures import Rows
from vosplug.utils.configs import load_config

PARAMS = {"aott": 5_733_843, "aots": 6_997_979, "aotb": 8_262_115, "aotl": 8_262_115, "r50_aotl": 14_909_667,
          "deaott": 7_238_188, "deaots": 10_202_765, "deaotb": 13_167_342, "deaotl": 13_167_342,
          "r50_deaotl": 19_814_894}
TRAINED = {"aott": 5_719_523 - 256, "aots": 6_983_659 - 256, "aotl": 8_247_795 - 256, "r50_aotl": 14_687_523 - 256,
           "deaott": 7_223_612, "deaots": 10_188_189, "deaotl": 13_152_766, "r50_deaotl": 19_592_494}
# G of a frame of 480x854, which is seen at 481x849: encoder, projection, decoder; of one propagation.
FIXED = {"aott": (4.540, 0.549, 7.142), "deaott": (4.540, 0.549, 7.142), "aotl": (4.540, 0.549, 7.362),
         "r50_aotl": (27.482, 0.439, 9.327), "r50_deaotl": (27.482, 0.439, 9.107)}
PROPAGATION = {"aott": 5.053, "aotl": 3 * 5.053, "deaott": 11.401, "deaotl": 11.401 + 2 * 11.839}
FRAME, GRID = (481, 849), (31, 54)


def model_of(name):
    with torch.device("meta"):
        return SEGMENTORS.build(load_config(f"{name}.py").model).eval()


def macs(call):
    """Multiply-accumulates of a call, in G."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), without_fast_attention():
        call()
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("name", PARAMS)
def test_parameters(name):
    model = model_of(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMS[name]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == TRAINED[name.replace("otb", "otl")]
    layers = {"t": 1, "s": 2, "b": 3, "l": 3}[name[-1]]
    assert len(model.matching_head.blocks) == layers
    assert (model.memory.every, model.memory.train_every) == ((5, 2) if name.endswith("l") else (9999, 9999))


@pytest.mark.parametrize("name", FIXED)
def test_work_that_does_not_depend_on_memory(name):
    model, frame = model_of(name), torch.empty(1, 3, *FRAME, device="meta")
    rows = Rows.of_table(torch.ones(1, 1, dtype=torch.bool), ["group 0"], "meta")
    backbone = macs(lambda: model.encoder.backbone(frame))
    pyramid, context = model.encoder(frame)
    assert context.shape[-2:] == GRID
    read = torch.empty(1, model.matching_head.out_channels, *GRID, device="meta")
    decoder = macs(lambda: model.decoder.fine(model.decoder.coarse(read, context, pyramid, rows), pyramid, rows))
    projection = macs(lambda: model.encoder(frame)) - backbone
    assert (backbone, projection, decoder) == pytest.approx(FIXED[name], rel=0.005)
    identities = torch.empty(1, 11, *FRAME, device="meta")
    assert macs(lambda: model.identity_bank(identities)) == pytest.approx(1.362, rel=0.005)


@pytest.mark.parametrize("name", PROPAGATION)
def test_work_of_propagation(name):
    """The window counts what tiles of queries see, not 15 x 15 cells: some percent more than the formula."""
    with FakeTensorMode():  # nothing is computed
        head = MATCHING_HEADS.build(load_config(f"{name}.py").model.matching_head, key_channels=256).eval()
        x = torch.empty(1, 256, *GRID)
        tokens = head.reference(x, x)[1]
        counts = [macs(lambda frames=frames: head.complete(head(x, [[pair] * frames for pair in tokens], tokens)[1], x))
                  for frames in (1, 2)]
    assert PROPAGATION[name] < counts[0] < 1.06 * PROPAGATION[name]
    per_layer = 3.228 if name.startswith("de") else 1.43
    assert (counts[1] - counts[0]) / len(head.blocks) == pytest.approx(per_layer, rel=0.005)
