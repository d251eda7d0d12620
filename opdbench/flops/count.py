"""What passes over a sequence cost; every result is an exact integer."""

from __future__ import annotations

from opdbench.errors import ModelError
from opdbench.flops.shape import ATTENTION, MLP, LowRank, Shape, projection_widths


def _token_flops(shape: Shape) -> int:
    """Return the cost of one token in all projections of all layers; attention and head apart."""
    widths = projection_widths(shape)
    attention = sum(2 * widths[name][0] * widths[name][1] for name in ATTENTION)
    dense = sum(2 * widths[name][0] * widths[name][1] for name in MLP)
    num_sparse = len(shape.sparse_layers)
    return shape.num_layers * attention + (shape.num_layers - num_sparse) * dense + num_sparse * _experts_flops(shape)


def _experts_flops(shape: Shape) -> int:
    """Return the cost of one token in the router and in the experts that it is sent to."""
    return 2 * shape.hidden * (shape.num_experts + 3 * shape.experts_per_token * shape.expert_intermediate)


def _product_flops(shape: Shape, num_pairs: int) -> int:
    """Return the cost of one of a layer's two attention products over a number of query-key pairs."""
    return 2 * num_pairs * shape.num_heads * shape.head_dim


def head_flops(shape: Shape, num_positions: int) -> int:
    """Return the cost of logits at a number of positions: 2 x hidden x head width each."""
    return 2 * shape.hidden * shape.head_width * num_positions


def forward_flops(shape: Shape, num_tokens: int, num_positions: int) -> int:
    """Return the cost of one forward pass over a sequence, with logits at ``num_positions`` of its tokens."""
    attention = 2 * shape.num_layers * _product_flops(shape, num_tokens**2)
    return num_tokens * _token_flops(shape) + attention + head_flops(shape, num_positions)


def generate_flops(shape: Shape, prompt_len: int, num_new: int) -> int:
    """Return the cost of writing ``num_new`` tokens after a prompt, with a key-value cache.

    The prefill gives the first token; each further one is a pass of one token against all keys so far. The last
    token is never fed back.
    """
    if num_new == 0:
        return 0
    num_steps = num_new - 1
    num_pairs = num_steps * prompt_len + num_steps * (num_steps + 1) // 2
    decode = num_steps * _token_flops(shape) + 2 * shape.num_layers * _product_flops(shape, num_pairs)
    return forward_flops(shape, prompt_len, 1) + decode + head_flops(shape, num_steps)


def score_flops(shape: Shape, prompt_len: int, response_len: int) -> int:
    """Return the cost of scoring a response: the body over prompt and response, the head over the response.

    Logits of the whole vocabulary are included: a divergence costs no more than the log-prob of one token.
    """
    return forward_flops(shape, prompt_len + response_len, response_len)


def train_flops(shape: Shape, prompt_len: int, response_len: int, lora: LowRank | None = None) -> int:
    """Return the cost of one forward and backward pass over a sequence, with logits on the response.

    All weights trained: every product has two more of its size in the backward pass, one for its input's gradient
    and one for its weight's. With adapters the frozen weights need their input's gradient only, and what comes
    before the first adapter needs nothing.

    Raises:
        ModelError: an adapter is asked for on a projection that the model does not have, or on experts.
    """
    num_tokens = prompt_len + response_len
    forward = forward_flops(shape, num_tokens, response_len)
    if lora is None:
        return 3 * forward
    check_targets(shape, lora)
    adapters, backward, flows = 0, head_flops(shape, response_len), False
    widths = projection_widths(shape)
    for index in range(shape.num_layers):
        adapters += sum(2 * num_tokens * lora.rank * sum(widths[name]) for name in set(lora.target_modules))
        layer = _FrozenLayer(shape, num_tokens, lora)
        flows = layer.backward(index in shape.sparse_layers, flows)
        backward += layer.flops
    return forward + adapters + backward


def check_targets(shape: Shape, lora: LowRank) -> None:
    """Refuse adapters that cannot be counted.

    Raises:
        ModelError: there are none, a name is no projection, or the projections are fused into experts.
    """
    targets, allowed = set(lora.target_modules), ATTENTION if shape.sparse_layers else (*ATTENTION, *MLP)
    if not targets or targets - set(allowed):
        wrong = ", ".join(sorted(targets - set(allowed))) or "nothing"
        raise ModelError(f"LoRA on {wrong}: a {shape.architecture} model takes adapters on {', '.join(allowed)}")


class _FrozenLayer:
    """The backward pass of one layer whose own weights are frozen; ``flops`` adds up."""

    def __init__(self, shape: Shape, num_tokens: int, lora: LowRank) -> None:
        self.shape, self.num_tokens, self.lora = shape, num_tokens, lora
        self.widths = projection_widths(shape)
        self.flops = 0

    def backward(self, sparse: bool, flows: bool) -> bool:
        """Add the layer's cost; ``flows`` says whether its input needs a gradient. Return whether its output does."""
        query, key, value = (self._projection(name, flows) for name in ("q_proj", "k_proj", "v_proj"))
        product = _product_flops(self.shape, self.num_tokens**2)
        self.flops += product * (query + key) + product * ((query or key) + value)
        flows = self._projection("o_proj", query or key or value) or flows
        if sparse:
            self.flops += flows * self.num_tokens * _experts_flops(self.shape)
            return flows
        gate, up = self._projection("gate_proj", flows), self._projection("up_proj", flows)
        return self._projection("down_proj", gate or up) or flows

    def _projection(self, name: str, flows: bool) -> bool:
        """Add a projection's cost: gradient of its input where needed, and both gradients of its adapter."""
        width_in, width_out = self.widths[name]
        self.flops += flows * 2 * self.num_tokens * width_in * width_out
        if name not in self.lora.target_modules:
            return flows
        self.flops += 2 * self.num_tokens * self.lora.rank * (2 * width_out + (1 + flows) * width_in)
        return True
