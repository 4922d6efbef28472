"""Options of the synthetic generator."""

import pytest

from vosplug.datasets.synthetic import SyntheticOptions
from vosplug.utils.errors import ConfigError


@pytest.mark.parametrize("change", [
    dict(classes=("blob", "bloob")), dict(classes=()), dict(classes=("blob", "blob")), dict(later_classes=("x",)),
    dict(objects=(0, 2)), dict(objects=(3, 2)), dict(objects=3), dict(objects=(1, 99)), dict(parts=(1, 2.5)),
    dict(scale=(0.0, 0.5)), dict(scale=(0.2, 1.5)), dict(late=1.5), dict(occluder=-0.1), dict(copies="half"),
    dict(motion=-1), dict(noise=True), dict(min_visible=0.2), dict(min_visible=0), dict(textures=4),
])
def test_wrong_values_are_refused_by_name(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        SyntheticOptions(**change)


def test_make_takes_dicts_and_defaults():
    assert SyntheticOptions.make(None, motion=2.0).motion == 2.0
    assert SyntheticOptions.make({"motion": 3.0}, motion=2.0).motion == 3.0
    options = SyntheticOptions.make({"objects": [2, 4], "classes": ["ring"]})
    assert options.objects == (2, 4) and options.classes == ("ring",)
    assert SyntheticOptions.make(options) is options
    assert hash(options) == hash(SyntheticOptions.make({"objects": (2, 4), "classes": ("ring",)}))


def test_misspelt_option_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'motion'"):
        SyntheticOptions.make({"moton": 1.0})
    with pytest.raises(ConfigError, match="Did you mean 'star'"):
        SyntheticOptions(classes=("starr",))
