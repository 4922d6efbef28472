"""CFBI with ResNet-101."""

import os
import tempfile

import torch
from torch import Tensor, nn

from .common import FLOAT64, clip_of, filled, manifest, normalised, recorded, shapes, watched

SOURCE = {"repository": "github.com/z-x-yang/CFBI", "commit": "91fc6a31b1752a8a9110b3ed480e05656f756691"}
ALIAS = "semantic_embedding."  # the same tensors as seperate_conv, bn1, embedding_conv and bn2
GATES = ("layer1.GCT1.", "layer2.GCT1.", "layer3.GCT1.", "layer4.GCT1.", "layer5.GCT1.", "layer6.GCT1.",
         "layer7.GCT1.", "layer8.GCT1.", "ASPP.aspp1.GCT.", "ASPP.aspp2.GCT.", "ASPP.aspp3.GCT.", "ASPP.aspp4.GCT.",
         "ASPP.GCT.", "GCT_sc.")
OUTPUT_SIZE = (58, 76)


def config_of_source():
    """Its configuration, which asks for a GPU and makes folders where it is imported."""
    available, here = torch.cuda.is_available, os.getcwd()
    torch.cuda.is_available = lambda: True
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            from configs.resnet101_cfbi import cfg
        finally:
            os.chdir(here)
            torch.cuda.is_available = available
    return cfg


def cfbi() -> dict:
    """Frames of network size (16n + 1), channels in the order B, G, R."""
    from networks.cfbi.cfbi import CFBI
    from networks.deeplab.backbone import resnet
    from networks.deeplab.deeplab import DeepLab

    resnet.ResNet._load_pretrained_model = lambda self: None
    cfg = config_of_source()
    clip = {"frames": 4, "size": [65, 81], "objects": 2}
    settings = {"output_size": list(OUTPUT_SIZE), "output_stride": cfg.MODEL_OUTPUT_STRIDE,
                "multi_local_distance": cfg.MODEL_MULTI_LOCAL_DISTANCE,
                "global_atrous_rate": cfg.TEST_GLOBAL_ATROUS_RATE, "channel_order": "BGR"}
    fill = {"gains": [*([f"dynamic_seghead.{gate}", 10.0] for gate in GATES), ["dynamic_seghead.IA", 15.0],
                      ["dynamic_seghead.IA_final", 0.4], ["dynamic_prehead.conv", 2.0], ["embedding_conv", 1.0]],
            "offsets": [["bn2.weight", -0.85], ["bg_bias", -1.0], ["fg_bias", -1.0]]}
    model = CFBI(cfg, DeepLab(backbone=cfg.MODEL_BACKBONE, freeze_bn=cfg.MODEL_FREEZE_BN)).eval()
    names = {name: shape for name, shape in shapes(model.state_dict()).items() if not name.startswith(ALIAS)}
    model.load_state_dict(filled(names, fill), strict=False)
    return manifest("cfbi_r101", SOURCE, clip, settings, fill, names, run(model, clip), FLOAT64)


def run(model: nn.Module, clip: dict) -> dict[str, Tensor]:
    """Step through the clip; the first frame is the reference."""
    frames, label = clip_of(clip)
    deeplab, head = model.feature_extracter, model.dynamic_seghead
    seen = {name: watched(part) for name, part in {
        "backbone": deeplab.backbone, "aspp": deeplab.aspp, "deeplab": deeplab, "prehead": model.dynamic_prehead,
        "head": head, "layer2": head.layer2, "layer5": head.layer5, "layer8": head.layer8,
        "ensembler_aspp": head.ASPP}.items()}
    embeddings, before = recorded(model, "extract_feature"), recorded(model, "before_seghead_process")
    decoded, each = recorded(head, "decoder"), recorded(head, "IA_logit")
    references, masks, previous, mask, probs, labels = [], [], None, None, [], []
    count = torch.tensor([clip["objects"]])
    for t, frame in enumerate(normalised(frames[..., ::-1])):
        prob, embedding = model.forward_for_eval(references, masks, previous, mask, frame[None], OUTPUT_SIZE, count)
        previous = embedding
        if t == 0:
            mask = torch.from_numpy(label)[None, None]
            references, masks = [embedding], [mask]
            continue
        labels.append(prob[0].argmax(dim=0))
        probs.append(prob[0, :, ::4, ::4])
        mask = labels[-1][None, None]
    vectors, inputs = [call[0][1] for call in seen["head"]], [call[0][0] for call in seen["prehead"]]
    return {
        "embedding_frame0": embeddings[0][0][0, ::4, ::2, ::2], "backbone_frame0": seen["backbone"][0][1][0][0, ::64],
        "aspp_frame0": seen["aspp"][0][1][0, ::16], "deeplab_frame0": seen["deeplab"][0][1][0][0, ::16, ::2, ::2],
        "embedding_frame1": embeddings[1][0][0, ::4, ::2, ::2],
        "low_level_frame1": embeddings[1][1][0, ::16, ::4, ::4],
        "attention_head_frame1": vectors[0], "attention_head_last": vectors[-1],
        "prehead_input_frame1": inputs[0][..., ::2, ::2], "prehead_input_last": inputs[-1][..., ::4, ::4],
        "prehead_frame1": seen["prehead"][0][1][:, ::8, ::2, ::2],
        "ensembler_layer2_frame1": seen["layer2"][0][1][:, ::16, ::4, ::4],
        "ensembler_layer5_frame1": seen["layer5"][0][1][:, ::16, ::2, ::2],
        "ensembler_layer8_frame1": seen["layer8"][0][1][:, ::32],
        "ensembler_aspp_frame1": seen["ensembler_aspp"][0][1][:, ::16],
        "decoder_frame1": decoded[0][:, ::8, ::2, ::2], "fg_logit_frame1": each[0][:, 0],
        "bg_logit_frame1": each[1][:, 0], "logits": torch.stack([x[0][0][0][:, ::2, ::2] for x in before]),
        "prob": torch.stack(probs), "label": torch.stack(labels).to(torch.uint8)}
