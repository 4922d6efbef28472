"""Other values of the options of data sets, transforms and samplers, and what shows the difference."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.datasets.trees import frame
from vosplug.datasets import ClipRequest
from vosplug.datasets.transforms import Clip
from vosplug.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS

from .other_options import cases_of

RESIZE = [dict(type="Resize", size=(48, 64))]
SMALL_CROPS = [dict(type="RandomResizedCrop", size=16, scale=(0.02, 0.05))]
CROPS = [dict(type="RandomResizedCrop", size=16, scale=(0.1, 0.2))]
DAVIS = dict(type="DavisDataset", data_root="davis", split="train")
DENSE = dict(type="FolderVideos", data_root="dense")
LATE = dict(type="YouTubeVOSDataset", data_root="youtube")
VIS = dict(type="YouTubeVISDataset", data_root="vis")
CLIPS = dict(type="VideoClips", videos=DAVIS, transforms=RESIZE)
SCENE = dict(textures=24, objects=(2, 3))

of_data, of_clips = cases_of(DATASETS), cases_of(DATASETS)
of_transforms, of_samplers = cases_of(TRANSFORMS), cases_of(DATA_SAMPLERS)


@of_data("DavisDataset", dict(data_root="davis"), data_root="davis_short", split="train", year="2016",
         resolution="Full-Resolution")
@of_data("DavisDataset", dict(data_root="davis", split="train"), sequences=["beta"])
@of_data("FolderVideos", dict(data_root="dense"), data_root="folders", sequences=["two"], dense=False)
@of_data("YouTubeVOSDataset", dict(data_root="youtube"), data_root="youtube/2018", split="valid_all_frames", year=2018,
         reference_root="youtube/2019/valid", sequences=["v2"])
@of_data("YouTubeVISDataset", dict(data_root="vis"), data_root="vis/2021", split="valid", year=2021,
         annotation_file="valid.json", frame_stride=2, sequences=["w"])
def videos(data: Any) -> list:
    """Names and lengths of the videos, what is to be done with them, and their first frames."""
    found = [len(data), getattr(data, "classes", None)]
    for video in data.videos():
        found += [video.name, len(video), video.has_reference, video.read_frame(0)]
        if hasattr(video, "tracks"):
            found += [[(t.id, t.category, t.boxes) for t in video.tracks], video.read_masks(0)]
        else:
            found += [video.prompts, list(video.output_frames or ()), video.required_frames, video.first_frames,
                      video.categories, video.read_labels(0)]
    return found


@of_clips("VideoClips", dict(videos=DAVIS, transforms=RESIZE), videos={**DAVIS, "split": "val"},
          transforms=[dict(type="Resize", size=24)], max_objects=1, skip_unit=4, jump_rule="neighbours", reverse=1.0,
          merge_objects=True, decode_reduction=2)
@of_clips("VideoClips", dict(videos=DAVIS, transforms="aot", size=32), size=40)
@of_clips("VideoClips", dict(videos=DAVIS, transforms=SMALL_CROPS), retries=1)
@of_clips("VideoClips", dict(videos=LATE, transforms=RESIZE), late_objects=True)
@of_clips("VideoClips", dict(videos=DENSE, transforms=RESIZE), min_pixels=50, complete_first=True, first_pixels=50)
@of_clips("UnlabelledClips", dict(data_root="davis/JPEGImages/480p", transforms=RESIZE), data_root="folders",
          sequences=["beta"], stills=True, transforms=[dict(type="Resize", size=24)], jump_rule="neighbours",
          reverse=1.0, skip_unit=4, decode_reduction=2)
@of_clips("UnlabelledClips", dict(data_root="stills", stills=True, transforms=RESIZE), suffixes=(".png",))
@of_clips("UnlabelledClips", dict(videos=DAVIS, transforms="aot", size=32), videos={**DAVIS, "split": "val"}, size=40,
          max_objects=1)
@of_clips("UnlabelledClips", dict(videos=DENSE, transforms=RESIZE), min_pixels=50)
@of_clips("UnlabelledClips", dict(videos=DAVIS, transforms=SMALL_CROPS), retries=1)
@of_clips("StaticImageClips", dict(data_root="stills", size=32), data_root="ids", layout="folders", transforms="aot",
          size=40, max_side=20, images=["a1"])
@of_clips("StaticImageClips", dict(data_root="stills", transforms=CROPS), retries=1)
@of_clips("StaticImageClips", dict(data_root="ids", transforms=RESIZE), ids=True)
@of_clips("StaticImageClips", dict(data_root="ids", transforms=RESIZE, ids=True), max_objects=2, min_pixels=50)
@of_clips("MergedClips", dict(dataset=CLIPS), dataset={**CLIPS, "max_objects": 1}, probability=0.0, max_objects=1,
          min_pixels=250)
@of_clips("MixedClips", dict(datasets=[CLIPS, CLIPS]), datasets=[CLIPS], repeats=[2, 1])
@of_clips("MixedClips", dict(datasets=[CLIPS, CLIPS]), each=dict(max_objects=1))
@of_clips("VISClips", dict(videos=VIS, size=(48, 64)), videos={**VIS, "split": "valid"}, size=(24, 32),
          short_sides=(24, 36), flip=0.0, pairs=True, max_tracks=1, retries=1)
@of_clips("SyntheticClips", dict(size=(32, 32), length=4, options=SCENE, pool=2), size=(40, 32), length=3,
          max_objects=1, options={**SCENE, "motion": 0.0}, replay=0.0, pool=1)
@of_clips("SyntheticVISClips", dict(size=(32, 32), length=4, frames=8, options=SCENE, pool=2), size=(40, 32), length=3,
          pairs=True, frames=5, options={**SCENE, "motion": 0.0}, replay=0.0, pool=1)
def clips(data: Any) -> Iterator:
    """Number of clips, where they come from, and some of them."""
    yield len(data), getattr(data, "source_ranges", None)
    for k in range(8):
        yield data[ClipRequest(k % len(data), seed=k, length=3, max_skip=4)]


SCENES = dict(size=(32, 32), length=4, replay=0.0)
KNOBS = dict(
    classes=("ring",), later_classes=("star",), objects=(1, 1), parts=(3, 4), scale=(0.2, 0.3), distractors=(0, 0),
    copies=1.0, occluder=1.0, late=1.0, leave=1.0, motion=0.0, camera=0.0, deform=0.0, min_visible=0.02, colour=0.0,
    photometric=0.0, noise=0.0, blur=1.0, textures=30)
BUSY = {**SCENE, "distractors": (2, 2), "scale": (0.3, 0.5), "late": 0.5}
for knob, value in KNOBS.items():
    of_clips("SyntheticClips", dict(**SCENES, options=BUSY), options={**BUSY, knob: value})(clips)


@of_transforms("Resize", dict(size=24), size=30)
@of_transforms("PadOrCrop", dict(size=32), size=40, random=False, per_frame=True)
@of_transforms("BalancedCrop", dict(size=20), size=24, min_pixels=1, tries=1)
@of_transforms("ColorJitter", dict(brightness=0.3, contrast=0.3, saturation=0.3), brightness=0.1, contrast=0.1,
               saturation=0.1, hue=0.2, per_frame=True, probability=0.5)
@of_transforms("GaussianBlur", {}, sigma=(2.0, 3.0), probability=1.0)
@of_transforms("RandomAffine", {}, degrees=5, shear=2, scale=(0.5, 0.6), per_frame=False, shift=0.2, keep_first=True)
@of_transforms("RandomFlip", {}, probability=1.0, direction="vertical", per_frame=True)
@of_transforms("RandomFlip", dict(per_frame=True), keep_first=True)
@of_transforms("RandomGrayscale", dict(probability=0.5), probability=1.0, per_frame=True)
@of_transforms("RandomResizedCrop", dict(size=24, scale=(0.02, 0.05)), size=30, scale=(0.3, 0.4), ratio=(0.2, 0.3),
               keep_object=True, per_frame=True)
@of_transforms("RandomResizedCrop", dict(size=24, scale=(0.02, 0.05), keep_object=True), tries=1)
@of_transforms("RandomScale", dict(size=48), size=40, scale=(0.5, 0.6))
@of_transforms("ThinPlateSpline", dict(probability=0.6), scale=0.1, points=5, probability=1.0, step=2,
               inside_object=True, keep_first=True)
def transformed(transform: Any) -> Iterator:
    """A clip of three frames, several times."""
    for seed in range(8):
        images, labels = zip(*(frame(index, (1, 2)) for index in range(3)), strict=True)
        clip = transform(Clip(images, labels), np.random.default_rng(seed))
        yield clip.images, clip.labels


class Mixed(list):
    """A data set of two sources."""

    source_ranges = ((0, 3), (3, 7))


DATA = Mixed(range(7))


@of_samplers("ClipBatchSampler", dict(dataset=DATA), dataset=range(3), batch_size=3, length=4, max_skip=5, seed=1,
             weights=(0.0, 1.0))
@of_samplers("ClipBatchSampler", dict(dataset=DATA, rank=0, world_size=2), rank=1, world_size=3)
@of_samplers("ClipBatchSampler", dict(sampler=SimpleNamespace(dataset=DATA)), sampler=SimpleNamespace(dataset=range(3)))
def requests(sampler: Any) -> list:
    """What the first iterations ask for."""
    return [sampler.requests_at(iteration) for iteration in range(3)]
