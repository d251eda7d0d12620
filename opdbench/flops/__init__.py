"""FLOPs of generation, scoring and training, in closed form from a model's architecture.

What is counted is the method's definition and not an implementation of it: no padding, no recomputation, every
sequence pays for its own prompt. The convention is that of ``torch.utils.flop_counter.FlopCounterMode`` under eager
attention: a product of [m, k] and [k, n] costs 2mnk, attention the full query x key square, the head 2 x hidden x
vocabulary at each position that needs logits; element-wise work costs nothing. All results are exact integers.
"""

from opdbench.flops.count import (
    check_targets,
    forward_flops,
    generate_flops,
    head_flops,
    score_flops,
    train_flops,
)
from opdbench.flops.shape import ARCHITECTURES, LoRA, LowRank, Shape

__all__ = [
    "ARCHITECTURES",
    "LoRA",
    "LowRank",
    "Shape",
    "check_targets",
    "forward_flops",
    "generate_flops",
    "head_flops",
    "score_flops",
    "train_flops",
]
