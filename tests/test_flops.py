import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from opdbench.errors import ModelError
from opdbench.flops import LoRA, Shape, forward_flops, generate_flops, score_flops, train_flops

COMMON = {
    "vocab_size": 151,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "tie_word_embeddings": True,
}
MOE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40, "head_dim": 32}
CONFIGS = {
    "llama": COMMON | {"model_type": "llama", "tie_word_embeddings": False, "attention_bias": True},
    "qwen2": COMMON | {"model_type": "qwen2"},
    "qwen3": COMMON | {"model_type": "qwen3", "head_dim": 32, "num_hidden_layers": 2},
    "qwen3_moe": COMMON | MOE | {"model_type": "qwen3_moe"},
    "qwen3_moe_mixed": COMMON
    | MOE
    | {"model_type": "qwen3_moe", "num_hidden_layers": 5, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
TARGETS = {
    "qwen2": [(*ATTENTION, *MLP), ("q_proj", "v_proj"), MLP, ("down_proj",), ("v_proj",), ("k_proj", "up_proj")],
    "qwen3": [(*ATTENTION, *MLP), ("o_proj",), ("gate_proj",)],
    "qwen3_moe": [ATTENTION, ("q_proj",), ("v_proj",)],
}
LENGTHS = [(5, 7), (23, 1), (40, 17)]


def build(name):
    config = {key: value for key, value in CONFIGS[name].items() if key != "model_type"}
    config = AutoConfig.for_model(CONFIGS[name]["model_type"], **config)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module", params=list(CONFIGS))
def pair(request):
    return build(request.param).eval(), Shape.from_config(CONFIGS[request.param])


def ids(length):
    return torch.randint(0, COMMON["vocab_size"], (1, length), generator=torch.Generator().manual_seed(length))


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def response_logits(model, prompt_len, response_len):
    return model(input_ids=ids(prompt_len + response_len), logits_to_keep=response_len, use_cache=False).logits


def test_parameters_are_counted(pair):
    model, shape = pair
    assert shape.num_parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(("prompt_len", "response_len"), LENGTHS)
def test_scoring_agrees_with_torch(pair, prompt_len, response_len):
    model, shape = pair
    with torch.no_grad():
        real = counted(lambda: response_logits(model, prompt_len, response_len))
    assert score_flops(shape, prompt_len, response_len) == pytest.approx(real, rel=0.001)


@pytest.mark.parametrize(("prompt_len", "num_new"), LENGTHS)
def test_generation_agrees_with_torch(pair, prompt_len, num_new):
    model, shape = pair

    def generate():
        out = model(input_ids=ids(prompt_len), logits_to_keep=1, use_cache=True)
        for _ in range(num_new - 1):
            token = out.logits[:, -1:].argmax(-1)
            out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True)

    with torch.no_grad():
        real = counted(generate)
    assert generate_flops(shape, prompt_len, num_new) == pytest.approx(real, rel=0.001)


@pytest.mark.parametrize(("prompt_len", "response_len"), LENGTHS)
def test_training_agrees_with_torch(pair, prompt_len, response_len):
    model, shape = pair
    real = counted(lambda: response_logits(model, prompt_len, response_len).logsumexp(-1).sum().backward())
    assert train_flops(shape, prompt_len, response_len) == pytest.approx(real, rel=0.001)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize(("name", "targets"), [(name, targets) for name, sets in TARGETS.items() for targets in sets])
def test_training_adapters_agrees_with_torch(name, targets):
    model = get_peft_model(build(name), LoraConfig(r=8, target_modules=list(targets)))
    real = counted(lambda: response_logits(model, 11, 19).logsumexp(-1).sum().backward())
    shape = Shape.from_config(CONFIGS[name])
    assert train_flops(shape, 11, 19, LoRA(8, targets)) == pytest.approx(real, rel=0.001)


@settings(max_examples=50)
@given(st.sampled_from(list(CONFIGS)), st.integers(1, 500), st.integers(1, 500))
def test_costs_hang_together(name, prompt_len, num_new):
    shape = Shape.from_config(CONFIGS[name])
    score = score_flops(shape, prompt_len, num_new)
    assert isinstance(score, int)
    assert generate_flops(shape, prompt_len, 1) == forward_flops(shape, prompt_len, 1)
    assert generate_flops(shape, prompt_len, num_new) < generate_flops(shape, prompt_len, num_new + 1)
    assert generate_flops(shape, prompt_len, num_new) <= score
    assert (
        score < train_flops(shape, prompt_len, num_new, LoRA(1, ("o_proj",))) < train_flops(shape, prompt_len, num_new)
    )
    assert train_flops(shape, prompt_len, num_new) == 3 * score
    assert generate_flops(shape, prompt_len, 0) == 0


def test_a_shared_vocabulary_narrows_the_head_only():
    whole, cut = Shape.from_config(CONFIGS["qwen3"]), Shape.from_config(CONFIGS["qwen3"], shared_vocab=100)
    assert score_flops(whole, 5, 3) - score_flops(cut, 5, 3) == 2 * 64 * 51 * 3
    assert whole.num_parameters == cut.num_parameters
    with pytest.raises(ModelError, match="151 logits cannot be cut to 152"):
        Shape.from_config(CONFIGS["qwen3"], shared_vocab=152)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ModelError, match=r"'mamba'; supported: llama, qwen2"):
        Shape.from_config({"model_type": "mamba"})
    with pytest.raises(ModelError, match="lacks 'vocab_size'"):
        Shape.from_config({"model_type": "qwen3"})
    dense, sparse = Shape.from_config(CONFIGS["qwen3"]), Shape.from_config(CONFIGS["qwen3_moe"])
    for shape, targets in ((dense, ("embed_tokens",)), (dense, ()), (sparse, ("q_proj", "up_proj"))):
        with pytest.raises(ModelError, match="LoRA on"):
            train_flops(shape, 1, 1, LoRA(4, targets))
