"""Weights of the official reuse gate."""

from ..registry import CONVERTERS
from .frtm import FRTMConverter, block_rules


@CONVERTERS.register_module(name="reuse_vos")
class ReuseVOSConverter(FRTMConverter):
    """Official G-FRTM (github.com/HYOJINPARK/Reuse_VOS) -> ``configs/g_frtm_r101.py`` or ``g_frtm_fast_r18.py``."""

    rules = (
        (r"refiner\.Diff_process\.conv_multi\.conv1\.(?P<rest>.*)", r"translator.branches.0.\g<rest>"),
        (r"refiner\.Diff_process\.conv_multi\.conv2\.(?P<rest>.*)", r"translator.branches.1.\g<rest>"),
        (r"refiner\.Diff_process\.conv_multi\.conv3\.(?P<rest>.*)", r"translator.branches.2.\g<rest>"),
        (r"refiner\.Diff_process\.conv_multi\.convBlend\.(?P<rest>.*)", r"translator.blend.\g<rest>"),
        *block_rules(r"refiner\.Diff_process\.postRBB", "translator.block"),
        (r"convGS\.1\.(?P<rest>.*)", r"gate.conv1.\g<rest>"),
        (r"convGS\.2\.(?P<rest>.*)", r"gate.norm.\g<rest>"),
        (r"convGS\.4\.(?P<rest>.*)", r"gate.conv2.\g<rest>"),
        (r"Tmatching\.Tmatching\.conv_key\.0\.(?P<rest>.*)", r"matching.read_key.proj.\g<rest>"),
        (r"Tmatching\.Tmatching\.conv_key\.1\.(?P<rest>.*)", r"matching.read_key.conv.\g<rest>"),
        (r"Tmatching\.Tmatching\.conv_feat\.0\.(?P<rest>.*)", r"matching.read_feature.proj.\g<rest>"),
        (r"Tmatching\.Tmatching\.conv_feat\.1\.(?P<rest>.*)", r"matching.read_feature.conv.\g<rest>"),
        (r"Tmatching\.Tmatching\.blend\.(?P<rest>.*)", r"matching.blend.\g<rest>"),
        (r"Tmatching\.Tgenerate\.conv_key\.0\.(?P<rest>.*)", r"matching.make_key.proj.\g<rest>"),
        (r"Tmatching\.Tgenerate\.conv_key\.2\.(?P<rest>.*)", r"matching.make_key.conv.\g<rest>"),
        (r"Tmatching\.Tgenerate\.conv_val\.0\.(?P<rest>.*)", r"matching.make_value.proj.\g<rest>"),
        (r"Tmatching\.Tgenerate\.conv_val\.2\.(?P<rest>.*)", r"matching.make_value.conv.\g<rest>"),
        (r"Convert_Diff\.(?P<rest>.*)", r"delta.conv.\g<rest>"),
        *((pattern, f"segmentor.{target}") for pattern, target in FRTMConverter.rules),
    )
    model_config = "g_frtm_r101.py"
