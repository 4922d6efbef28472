"""Weights of the official TTVOS."""

from torch import nn

from ..registry import CONVERTERS
from .base import Conversion, Converter, keep_counters

BRANCHES = ((r"gcm\.conv_key", "make_value"), (r"gcm\.conv_val", "make_key"),
            (r"gcq\.conv_val", "read_key"), (r"gcq\.conv_feat", "read_feature"))
REFINEMENT = ((r"conv_s16\.conv", "short_term"), (r"blend_s16\.conv", "blend16"), (r"conv_s8\.conv", "reduce8"),
              (r"blend_s8\.conv", "blend8"), (r"conv_s4\.conv", "reduce4"), (r"blend_s4\.conv", "blend4"),
              (r"cal_UpW\.0\.conv", "share_in"), (r"cal_UpW\.2", "share_out"), ("deconv1_1", "up16"),
              ("deconv1_2", "up16_twice"), ("deconv2", "up8"), ("deconv3", "up4"), ("predictor_Diff", "transition"),
              ("predictor_Tmp", "template_mask"))
LAST_STAGE = "backbone.layer4."


@CONVERTERS.register_module(name="ttvos")
class TTVOSConverter(Converter):
    """Official TTVOS (github.com/HYOJINPARK/TTVOS) -> ``configs/ttvos_r50.py`` or ``configs/ttvos_r18.py``.

    A file that lacks the backbone gets it from a file of its own. What the source calls the key of a template is the
    value here, as it is the template's first axis.
    """

    rules = (
        *((rf"vos\.{theirs}\.0\.(?P<rest>.*)", rf"matching_head.{ours}.proj.\g<rest>") for theirs, ours in BRANCHES),
        *((rf"vos\.{theirs}\.1\.(?P<rest>.*)", rf"matching_head.{ours}.conv.\g<rest>") for theirs, ours in BRANCHES),
        (r"vos\.gcq\.blend\.(?P<rest>.*)", r"matching_head.blend.\g<rest>"),
        *((rf"vos\.refine\.{theirs}\.(?P<rest>.*)", rf"decoder.{ours}.\g<rest>") for theirs, ours in REFINEMENT),
        (r"vos\.backbone\.(?P<rest>(?:conv1|bn1|layer[1-4])\..*)", r"backbone.\g<rest>"),
    )
    drop = ((r"vos\.backbone\.fc\..*", "the classifier of the backbone"),)
    model_config = "ttvos_r50.py"
    state_key = "net"
    backbone_prefix = "vos.backbone."

    def fit(self, result: Conversion, model: nn.Module) -> Conversion:
        """Leave out the last stage of a file of a backbone where the model has none; add what old files lack."""
        if not any(name.startswith(LAST_STAGE) for name in model.state_dict()):
            for name in [name for name in result.state if name.startswith(LAST_STAGE)]:
                del result.state[name]
                result.dropped[result.sources.pop(name)] = "the last stage of the backbone, which the model lacks"
        return keep_counters(result, model)
