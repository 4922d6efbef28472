"""Sizes and work of CFBI and SST at 465x465, the published ones where there are any."""

import json

import pytest
import torch
from torch import nn

from vosplug.cli.model_stats import main
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config

SHAPE = ["--shape", "465", "465"]


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def built(name):
    """The full model without memory for its weights."""
    with torch.device("meta"):
        return SEGMENTORS.build(load_config(f"{name}.py").model)


def stats(tmp_path, name, *more):
    """What the command says."""
    target = tmp_path / "stats.json"
    assert not main([name, *SHAPE, *more, "--json", str(target)])
    return json.loads(target.read_text())


def test_parameters_of_cfbi():
    model = built("cfbi_r101")
    parts = [size(part) for part in (model, model.encoder, model.matching_head, model.decoder)]
    assert parts == [66_045_376, 59_258_348, 2, 6_787_026]


@pytest.mark.parametrize("name, head, rest", [
    ("sst_r101", 199_168, 66_536_450), ("sst/os16", 199_168, 66_536_450),
    *((f"sst/table1_{kind}", 298_752, 66_536_578) for kind in ("grid", "local", "strided", "naive"))])
def test_parameters_of_sst(name, head, rest):
    """A layer less gives the pre-head two inputs less."""
    model = built(name)
    assert size(model.matching_head) == head and size(model) - head == rest


@pytest.mark.parametrize("kind, products, done", [("grid", 1.2832, 0.96), ("local", 8.4448, 6.33),
                                                  ("strided", 2.3466, 1.76), ("naive", 148.8981, 111.67)])
def test_work_of_attention_as_table_1_counts_it(kind, products, done):
    costs = built(f"sst/table1_{kind}").attention_costs((465, 465), 4)
    assert costs["products_g"] == pytest.approx(products, abs=5e-5)
    assert costs["done"]["products_g"] == pytest.approx(done, abs=5e-3)
    assert costs["projections_g"] == pytest.approx(4.11, abs=5e-3)
    assert costs["pairs"] * 2 * 128 == pytest.approx(costs["products_g"] * 1e9)


def test_naive_and_grid_attention_are_the_published_ones_at_481():
    grid, naive = (built(f"sst/table1_{kind}").attention_costs((481, 481), 4) for kind in ("grid", "naive"))
    assert naive["products_g"] == pytest.approx(170.1377, abs=5e-5)
    assert grid["products_g"] == pytest.approx(1.4174, abs=5e-5)


@pytest.mark.slow
def test_work_of_cfbi(tmp_path):
    one, two = (stats(tmp_path, "cfbi_r101", "--objects", str(objects)) for objects in (1, 2))
    modules = {name: part["macs_g_query"] for name, part in one["modules"].items()}
    assert one["params"] == 66_045_376
    assert modules["encoder"] == pytest.approx(76.90, rel=5e-3)
    assert modules["decoder"] == pytest.approx(2 * 17.350, rel=5e-3)
    assert 18.739 * 0.995 < modules["matching_head"] < (18.739 + 0.218) * 1.005
    assert two["modules"]["decoder"]["macs_g_query"] == pytest.approx(3 * 17.350, rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name, work, bound", [("sst/table1_grid", 255.42, 0.05), ("sst/os16", 111.3, 0.05)])
def test_work_of_sst_without_the_matching_head(tmp_path, name, work, bound):
    found = stats(tmp_path, name, "--memory-frames", "3")
    assert found["macs_g_query"] - found["modules"]["matching_head"]["macs_g_query"] == pytest.approx(work, abs=bound)
    assert set(found["attention"]) == {"pairs", "products_g", "projections_g", "score_map_mib", "done"}
