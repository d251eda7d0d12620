"""Where checkpoints are found, what identifies them, what is refused, and which vocabularies fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import MERGES, QWEN3, QWEN25, edit_json, located, save_checkpoint, save_tokenizer

from opdbench.checkpoints import (
    SharedVocabulary,
    architecture,
    check_endings,
    check_safe,
    compatible,
    content_hash,
    locate,
    vocabulary,
)
from opdbench.errors import ModelError
from opdbench.model import ModelEntry


def fake_checkpoint(directory: Path, vocab_size: int = 272, **tokenizer) -> Path:
    """Save a tokenizer, a config and empty weights: all that this layer reads."""
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(directory, **tokenizer)
    edit_json(directory / "config.json", model_type="qwen3", vocab_size=vocab_size, max_position_embeddings=256)
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


# ---------------------------------------------------------------------------------------------- finding


def test_directories_relative_to_board_and_working_directory(tmp_path, monkeypatch):
    fake_checkpoint(tmp_path / "board" / "models" / "a")
    fake_checkpoint(tmp_path / "work" / "b")
    monkeypatch.chdir(tmp_path / "work")
    first = locate("s", ModelEntry(path="models/a"), tmp_path / "board")
    assert first.directory == tmp_path / "board" / "models" / "a"
    assert locate("s", ModelEntry(path="b"), tmp_path / "board").directory == tmp_path / "work" / "b"
    assert first.name == "s"
    assert len(first.content_hash) == 64


def test_package_directories(tmp_path, monkeypatch):
    fake_checkpoint(tmp_path / "somepackage" / "models" / "a")
    (tmp_path / "somepackage" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    model = locate("s", ModelEntry(path="package:somepackage/models/a"), tmp_path)
    assert model.directory == tmp_path / "somepackage" / "models" / "a"
    with pytest.raises(ModelError, match="has no folder 'models/b'"):
        locate("s", ModelEntry(path="package:somepackage/models/b"), tmp_path)
    with pytest.raises(ModelError, match="'nopackage' is not installed"):
        locate("s", ModelEntry(path="package:nopackage/x"), tmp_path)


@pytest.mark.parametrize(
    ("path", "match"),
    [("cell:other", "output of another row"), ("no/such/folder", "no directory"), ("../gone", "no directory")],
)
def test_what_cannot_be_found(tmp_path, path, match):
    with pytest.raises(ModelError, match=match):
        locate("s", ModelEntry(path=path), tmp_path)


def test_hub_ids_offline(tmp_path):
    """Nothing is asked of the network; a pinned commit in the cache is used."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--Owner--Name"
    fake_checkpoint(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    program = f"""
import socket, sys
from pathlib import Path
def refuse(*a, **k): raise SystemExit("network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from opdbench.checkpoints import locate
from opdbench.errors import ModelError
from opdbench.model import ModelEntry
for revision in ("{commit}", None):
    print(locate("s", ModelEntry(path="Owner/Name", revision=revision), Path(".")).directory.name)
try:
    locate("teacher", ModelEntry(path="Owner/Other", revision="{commit}"), Path("."))
except ModelError as error:
    print(error)
print(sorted(set(sys.modules) & {{"torch", "transformers"}}))
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == [commit, commit], done.stderr
    assert "model 'teacher': cannot get Owner/Other at revision" in lines[2]
    assert f"hf download Owner/Other --revision {commit}" in lines[2]
    assert lines[3] == "[]"


# ---------------------------------------------------------------------------------------------- identity


def test_content_hash_sees_weights_config_and_tokenizer_only(tmp_path):
    a, b = fake_checkpoint(tmp_path / "a"), fake_checkpoint(tmp_path / "b")
    assert content_hash(a) == content_hash(b)
    (b / "README.md").write_text("notes")
    assert content_hash(a) == content_hash(b)
    assert content_hash(a, "commit") != content_hash(a)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json"):
        before = content_hash(b)
        (b / name).write_bytes(((b / name).read_bytes() if (b / name).exists() else b"{}") + b" ")
        assert content_hash(b) != before, name


def test_overrides_change_the_architecture(tmp_path):
    directory = fake_checkpoint(tmp_path)
    edit_json(directory / "config.json", rope_parameters={"rope_theta": 10000.0, "rope_type": "default"})
    overrides = {"rope_theta": 1e6, "max_position_embeddings": 512, "rope_parameters": {"rope_type": "linear"}}
    config = architecture(located(directory, overrides=overrides))
    assert config["rope_parameters"] == {"rope_theta": 1e6, "rope_type": "linear"}
    assert config["max_position_embeddings"] == 512
    assert architecture(located(directory))["rope_parameters"]["rope_theta"] == 10000.0
    with pytest.raises(ModelError, match="no key 'max_position_embedings'; did you mean 'max_position_embeddings'"):
        architecture(located(directory, overrides={"max_position_embedings": 1}))


# ---------------------------------------------------------------------------------------------- safety


def test_pickled_weights_are_refused(tmp_path):
    directory = fake_checkpoint(tmp_path)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin, and loading a pickle can execute code"):
        check_safe(located(directory))
    check_safe(located(directory, allow_pickle=True))
    (directory / "model.safetensors").write_bytes(b"x")
    check_safe(located(directory))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(tmp_path, name):
    directory = fake_checkpoint(tmp_path)
    edit_json(directory / name, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    with pytest.raises(ModelError, match=f"{name} names Python code"):
        locate("s", ModelEntry(path=str(directory)), tmp_path)


def test_incomplete_checkpoints_are_refused(tmp_path):
    directory = fake_checkpoint(tmp_path)
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        check_safe(located(directory))
    (directory / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match="does not hold a JSON object"):
        check_safe(located(directory))
    (directory / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        check_safe(located(directory))


def test_scripted_models_need_nothing_else(tmp_path):
    (tmp_path / "scripted.json").write_text("{}")
    assert locate("s", ModelEntry(path=str(tmp_path)), tmp_path).content_hash


# ---------------------------------------------------------------------------------------------- vocabularies


def pair(tmp_path, student: dict, teacher: dict) -> SharedVocabulary:
    own = located(fake_checkpoint(tmp_path / "student", **student), "small")
    return compatible(own, located(fake_checkpoint(tmp_path / "teacher", **teacher), "large"))


def test_equal_tokenizers_share_everything(tmp_path):
    assert pair(tmp_path, {}, {}) == SharedVocabulary(265, {}, (), ())


def test_qwen25_student_with_qwen3_teacher(tmp_path):
    """The setting of TGPO: the teacher knows more special tokens; heads of different widths are both cut."""
    shared = pair(tmp_path, {"added": QWEN25, "vocab_size": 300}, {"added": QWEN3, "vocab_size": 272})
    assert shared == SharedVocabulary(263, {}, (), ("<think>", "</think>"))
    assert shared.own_ids() is None


def test_qwen3_student_with_qwen25_teacher(tmp_path):
    shared = pair(tmp_path, {"added": QWEN3}, {"added": QWEN25})
    assert shared == SharedVocabulary(263, {}, ("<think>", "</think>"), ())


def test_special_tokens_under_other_ids_are_mapped_by_content(tmp_path):
    shared = pair(tmp_path, {"added": QWEN25}, {"added": ("<|im_end|>", "<tool>", "<|endoftext|>", "<|im_start|>")})
    assert shared.size == 263
    assert shared.special_map == {260: 262, 261: 263, 262: 260}
    assert shared.own_ids() == [*range(260), 262, 263, 260]
    assert shared.own_ids(260) is None
    assert shared.excluded_other == ("<tool>",)


def test_special_tokens_of_other_names_are_mapped_by_role(tmp_path):
    shared = pair(
        tmp_path,
        {"added": ("<|end|>", "<|pad|>"), "eos": "<|end|>", "pad": "<|pad|>"},
        {"added": ("<|fill|>", "<|eot|>"), "eos": "<|eot|>", "pad": "<|fill|>"},
    )
    assert shared == SharedVocabulary(262, {260: 261, 261: 260}, (), ())


def test_one_role_token_of_the_teacher_stands_for_one_of_the_student(tmp_path):
    """pad == eos on the teacher's side: the student's own pad has no partner and is cut."""
    shared = pair(
        tmp_path,
        {"added": ("<|end|>", "<|pad|>"), "eos": "<|end|>", "pad": "<|pad|>"},
        {"added": ("<|eot|>",), "eos": "<|eot|>", "pad": "<|eot|>"},
    )
    assert shared == SharedVocabulary(261, {}, ("<|pad|>",), ())


def test_heads_narrower_than_added_tokens_are_cut(tmp_path):
    assert pair(tmp_path, {"vocab_size": 264}, {}).size == 264
    assert pair(tmp_path, {}, {"vocab_size": 263}).size == 263
    with pytest.raises(ModelError, match="an output head is narrower"):
        pair(tmp_path, {"vocab_size": 200}, {})


@pytest.mark.parametrize(
    ("merges", "match"),
    [
        ((*MERGES[:3], ("e", "s")), r"1 only in the first \('er'\); 1 only in the second \('es'\)"),
        (MERGES[:3], r"1 only in the first \('er'\)"),
        ((MERGES[1], MERGES[0], *MERGES[2:]), r"2 under other ids \('ab', 'cd'\)"),
    ],
)
def test_other_vocabularies_are_refused(tmp_path, merges, match):
    with pytest.raises(ModelError, match=match):
        pair(tmp_path, {}, {"merges": merges})


def test_other_merges_are_refused(tmp_path):
    teacher = fake_checkpoint(tmp_path / "teacher")
    content = json.loads((teacher / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][::-1]
    (teacher / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="different merges from number 0 on"):
        compatible(located(fake_checkpoint(tmp_path / "student")), located(teacher))


def test_a_tokenizer_file_is_needed(tmp_path):
    directory = fake_checkpoint(tmp_path)
    assert vocabulary(located(directory)).num_ids == 265
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json does not exist"):
        vocabulary(located(directory))


def test_a_student_must_be_able_to_end_where_its_teacher_does(tmp_path):
    """A base student (<|endoftext|>) with an instruct teacher (<|im_end|>) needs one more stop."""
    base = fake_checkpoint(tmp_path / "base", eos="<|endoftext|>")
    teacher = located(fake_checkpoint(tmp_path / "teacher"), "large")
    with pytest.raises(ModelError, match=r"add stop = \['<\|im_end\|>'\]"):
        check_endings(located(base), teacher)
    check_endings(located(base, stop=("<|im_end|>",)), teacher)
    edit_json(base / "generation_config.json", eos_token_id=[260, 262])
    check_endings(located(base), teacher)
    check_endings(teacher, teacher)


def test_real_checkpoints_fit_themselves(tmp_path):
    model = save_checkpoint(tmp_path)
    assert compatible(model, model) == SharedVocabulary(265, {}, (), ())
    assert architecture(model)["model_type"] == "qwen3"
