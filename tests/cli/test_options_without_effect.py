"""Options that would do nothing are refused, in one line."""

import pytest

from vosplug.cli.test import main
from vosplug.inference import new_session
from vosplug.registry import SEGMENTORS
from vosplug.utils.errors import ConfigError, InputError


@pytest.mark.parametrize("option, name", [(["--cfg-options", "nonsense.key=1"], "--cfg-options"),
                                          (["--plugin", "nonexistent.py"], "--plugin")])
def test_options_of_a_config_without_one(tmp_path, capsys, option, name):
    assert main(["--baseline", "copy", "--eval", "davis", "--data-root", str(tmp_path), *option]) == 2
    error = capsys.readouterr().err
    assert f"{name} has no effect on --baseline copy without CONFIG: leave it out" in error and error.count("\n") == 1


def test_a_score_for_a_session_that_has_no_tracks():
    model = SEGMENTORS.build(SEGMENTORS.example("STCN"))
    with pytest.raises(InputError, match=r"a session of STCN has no option 'min_score' \(test_session\)"):
        new_session(model, min_score=0.3)


def test_terms_of_keys_that_nothing_reads():
    example = SEGMENTORS.example("STCN")
    example["key_encoder"]["anisotropic"] = True
    with pytest.raises(ConfigError, match="key_encoder.anisotropic=True has no effect: STCN reads neither"):
        SEGMENTORS.build(example)


def test_a_backbone_of_mmdet_that_lacks_levels():
    pytest.importorskip("mmdet")
    example = SEGMENTORS.example("STCN")
    example["key_encoder"]["backbone"] = dict(type="mmdet.ResNet", depth=18)
    with pytest.raises(ConfigError, match="'mmdet.ResNet' cannot be a backbone as it is: it does not publish 'levels'"):
        SEGMENTORS.build(example)
