"""Packed weights of the layers in use, checked by content at every call."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .pack import PackedWeights, pack_weights

_packed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _fingerprint(tensor: Tensor | None) -> int:
    if tensor is None:
        return 0
    if not tensor.is_contiguous():
        last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        tensor = tensor.permute(0, 2, 3, 1) if last else tensor.contiguous()
    return torch.ops.vosplug_cpu.fingerprint(tensor)


def dense_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry, relu: bool) -> Tensor:
    """Dense convolution (and ReLU) with the weights that ``packed_for`` has just found up to date.

    ``geometry`` is (stride, padding, dilation, groups). oneDNN gets its weights packed ahead, which it likes best.
    """
    stride, padding, dilation, groups = geometry
    if x.dtype == torch.float16 or not torch.backends.mkldnn.is_available():
        dense = F.conv2d(x, weight, bias, *geometry)
        return dense.relu_() if relu else dense
    entry = _packed[weight]
    content = entry[tuple(stride), tuple(dilation), groups, weight.dtype][0]
    key = ("dense", tuple(x.shape), *(tuple(g) for g in geometry[:3]), groups, weight.dtype)
    found = entry.get(key)
    mkldnn = torch.ops.mkldnn
    if found is None or found[0] != content:
        last = weight.detach().contiguous(memory_format=torch.channels_last)
        args = (list(padding), list(stride), list(dilation), groups, list(x.shape))
        found = entry[key] = (content, mkldnn._reorder_convolution_weight(last, *args))
    args = (list(padding), list(stride), list(dilation), groups, "relu" if relu else "none", [], "")
    return mkldnn._convolution_pointwise(x, found[1], bias, *args)


def packed_for(weight: Tensor, bias: Tensor | None, stride, dilation, groups: int) -> PackedWeights:
    """Return the packed form of ``weight`` and ``bias``, made anew only if their values changed.

    A version counter would miss writes through ``.data`` (as an averaging hook makes them), so the values themselves
    are compared, by a 64-bit fingerprint read at memory speed. ``PreparedConv2d`` avoids even that.
    """
    key = (tuple(stride), tuple(dilation), groups, weight.dtype)
    content = (_fingerprint(weight), _fingerprint(bias), bias is None)
    entry = _packed.setdefault(weight, {})
    found = entry.get(key)
    if found is None or found[0] != content:
        packed = pack_weights(weight, bias, stride=stride, dilation=dilation, groups=groups, dtype=weight.dtype)
        found = entry[key] = (content, packed)
    return found[1]
