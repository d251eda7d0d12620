"""Rebuild the lab's checkpoints from a seed: ``python tasks/build_lab.py [--out DIR] [--only NAME] [--seed N]``.

Writes Hugging Face directories (fp16 safetensors) and a README with their measured scores. Two builds agree within
sampling noise, not bit by bit: sums in another order on another processor train another model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM  # noqa: E402

from _lab_scores import Scores, format_table, score  # noqa: E402
from _lab_tokenizer import END, PAD, TOKEN_IDS, build_tokenizer  # noqa: E402
from _lab_training import Recipe, Shape, new_model, train  # noqa: E402

MODELS = HERE / "opdbench_tasks" / "lab_models"
SEED = 20261121
LARGE = Shape(hidden=96, heads=3, inner=224)
SMALL = Shape(hidden=64, heads=2, inner=160)
GENERAL = {"clean": 0.5, "refine": 0.15, "reference": 0.1, "repaired": 0.25}
UNREPAIRED = {"clean": 0.75, "refine": 0.15, "reference": 0.1}

# Order matters: a checkpoint comes after the one it starts from.
RECIPES: dict[str, Recipe] = {
    "teacher-base": Recipe(LARGE, 850, UNREPAIRED, anneal=False),
    "teacher": Recipe(LARGE, 1100, GENERAL, base="teacher-base"),
    "teacher-clean": Recipe(LARGE, 1000, UNREPAIRED, base="teacher-base"),
    "teacher-math": Recipe(LARGE, 700, GENERAL, base="teacher-base", kinds=("add", "run", "choice")),
    "teacher-code": Recipe(LARGE, 200, GENERAL, base="teacher-base", kinds=("code",)),
    "student": Recipe(SMALL, 1100, {"noisy": 1.0}),
    # Short training at a low rate, after which the other style is all it writes, but not all it could learn quickly.
    "student-cross": Recipe(LARGE, 300, {"terse": 1.0}, base="teacher-clean", peak=2e-3),
}


def build(name: str, out: Path, seed: int = SEED) -> tuple[Qwen3ForCausalLM, float]:
    """Train one checkpoint, save it under ``out`` and return it as saved, with the CPU seconds it took."""
    recipe = RECIPES[name]
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    model = load(out / recipe.base) if recipe.base else new_model(recipe.shape)
    started = time.process_time()

    def report(step: int, loss: float, seconds: float) -> None:
        print(f"{name}: step {step}/{recipe.steps}, loss {loss:.4f}, {seconds:.0f} CPU s", flush=True)

    train(model, tokenizer, recipe, seed + zlib.crc32(name.encode()), report)
    save(model, tokenizer, out / name)
    return load(out / name), time.process_time() - started


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write one Hugging Face directory; weights are stored in fp16."""
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, eos_token_id=TOKEN_IDS[END], pad_token_id=TOKEN_IDS[PAD]
    )
    cast("Any", model).half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)


def load(folder: Path) -> Qwen3ForCausalLM:
    """Return a saved checkpoint in fp32."""
    return Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)


def measure(folder: Path) -> dict[str, Scores]:
    """Score one saved checkpoint on the four test pools."""
    return score(load(folder), AutoTokenizer.from_pretrained(folder))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the checkpoints")
    parser.add_argument("--only", choices=list(RECIPES), nargs="*", help="build these alone")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--score-only", action="store_true", help="measure what is there and rewrite the README")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Build, measure and describe."""
    arguments = _arguments(argv)
    torch.set_num_threads(1)
    record = arguments.out / "scores.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    for name in arguments.only or list(RECIPES):
        seconds = known.get(name, {}).get("cpu_seconds", 0.0)
        if not arguments.score_only:
            _, seconds = build(name, arguments.out, arguments.seed)
        known[name] = {"cpu_seconds": round(seconds), "scores": measure(arguments.out / name)}
        print(name, known[name], flush=True)
        record.write_text(json.dumps(known, indent=1) + "\n")
    (arguments.out / "README.md").write_text(format_table(RECIPES, known, arguments.out, arguments.seed))


if __name__ == "__main__":
    main()
