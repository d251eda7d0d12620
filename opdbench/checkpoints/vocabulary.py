"""Which token ids student and teacher share, read from their tokenizer files by content.

Ordinary vocabulary and merges must be equal, ids included. Added tokens are mapped explicitly: by content, else by the
role that both configurations give them. What is left over is cut off both heads; anything else is refused, since
distilling across tokenizers is another problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from opdbench.checkpoints.files import architecture, read_json
from opdbench.errors import ModelError
from opdbench.trainer import LocatedModel

ROLES = ("eos_token", "pad_token", "bos_token", "unk_token")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The content of a tokenizer.

    Attributes:
        ordinary: Token to id, added tokens left out.
        rules: What joins characters into tokens: merges, or scores of a unigram model.
        added: Added and special tokens to ids.
        roles: Role (``eos_token``, ...) to token.
    """

    ordinary: Mapping[str, int]
    rules: tuple[Any, ...]
    added: Mapping[str, int]
    roles: Mapping[str, str]

    @property
    def num_ids(self) -> int:
        """One more than the largest id."""
        return 1 + max((*self.ordinary.values(), *self.added.values()))


@dataclass(frozen=True, slots=True)
class SharedVocabulary:
    """What a student and another model share.

    Attributes:
        size: The shared ids are the student's ids below it.
        special_map: Student id to the other's id, for shared ids that differ.
        excluded: The student's tokens that are cut off.
        excluded_other: The other's tokens that no shared id stands for; their mass is left out.
    """

    size: int
    special_map: Mapping[int, int]
    excluded: tuple[str, ...]
    excluded_other: tuple[str, ...]

    def own_ids(self, size: int | None = None) -> list[int] | None:
        """Return the other model's id of each of the first ``size`` shared ids; None where all are the same."""
        count = self.size if size is None else size
        if all(id >= count for id in self.special_map):
            return None
        return [self.special_map.get(id, id) for id in range(count)]


def vocabulary(model: LocatedModel) -> Vocabulary:
    """Read the vocabulary of a checkpoint.

    Raises:
        ModelError: there is no ``tokenizer.json``, or it is not one.
    """
    path = model.directory / "tokenizer.json"
    try:
        state = path.stat()
    except OSError:
        raise ModelError(
            f"model {model.name!r}: {path} does not exist; load the tokenizer once with transformers and save it, "
            "which writes that file"
        ) from None
    return _read(path, state.st_size, state.st_mtime_ns)


def compatible(student: LocatedModel, other: LocatedModel) -> SharedVocabulary:
    """Return what two models share.

    Raises:
        ModelError: ordinary vocabulary or merges differ, or a head is too narrow; the message says where.
    """
    own, others = vocabulary(student), vocabulary(other)
    who = f"student {student.name!r} and {other.name!r}"
    _check_ordinary(who, own, others)
    mapping = _mapping(own, others, _head_width(student), _head_width(other))
    size = next((id for id in range(own.num_ids) if id not in mapping), own.num_ids)
    lost = [token for token, id in own.ordinary.items() if id >= size]
    if lost:
        blocker = next((token for token, id in own.added.items() if id == size), None)
        why = f"{other.name!r} has nothing for {blocker!r}" if blocker else "an output head is narrower than that"
        raise ModelError(f"{who} cannot be distilled: of id {size} and above nothing can be shared, since {why}")
    return _shared(own, others, mapping, size)


def check_endings(student: LocatedModel, teacher: LocatedModel) -> None:
    """Refuse a student that cannot end a response where its teacher does: lengths would explode.

    Raises:
        ModelError: the teacher's end-of-sequence token does not end the student's rollouts.
    """
    shared, own, others = compatible(student, teacher), vocabulary(student), vocabulary(teacher)
    token = others.roles.get("eos_token")
    if token is None:
        return
    all_ids = {**own.ordinary, **own.added}
    stops = {own.roles.get("eos_token"), *student.entry.presentation("rollout").stop}
    ends = {shared.special_map.get(all_ids[stop], all_ids[stop]) for stop in stops if stop in all_ids}
    listed = _generation_stops(student)
    ends |= {shared.special_map.get(id, id) for id in listed}
    teacher_id = {**others.ordinary, **others.added}[token]
    if teacher_id not in ends:
        raise ModelError(
            f"teacher {teacher.name!r} ends its responses with {token!r}, which does not end those of student "
            f"{student.name!r} ({', '.join(sorted(repr(stop) for stop in stops if stop))}); add stop = [{token!r}] to "
            "the student's entry in [models]"
        )


def _generation_stops(model: LocatedModel) -> set[int]:
    listed: Any = read_json(model.directory / "generation_config.json", default={}).get("eos_token_id")
    return set(listed) if isinstance(listed, list) else set() if listed is None else {int(listed)}


@lru_cache(maxsize=16)
def _read(path: Path, size: int, mtime_ns: int) -> Vocabulary:
    """Read a tokenizer; size and time are part of the key, so that a changed file is read again."""
    content = read_json(path)
    model: Any = content.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise ModelError(f"{path} has no vocabulary (model.vocab)")
    table: Any = model["vocab"]
    pieces: Mapping[str, int] = table if isinstance(table, dict) else {piece: i for i, (piece, _) in enumerate(table)}
    scores = () if isinstance(table, dict) else tuple(score for _, score in table)
    merges = tuple(" ".join(pair) if isinstance(pair, list) else pair for pair in model.get("merges", ()))
    added = {token["content"]: int(token["id"]) for token in content.get("added_tokens") or ()}
    ordinary = {token: id for token, id in pieces.items() if token not in added}
    return Vocabulary(ordinary, (*merges, *scores), added, _roles(path.parent))


def _roles(directory: Path) -> dict[str, str]:
    config = {
        **read_json(directory / "special_tokens_map.json", default={}),
        **read_json(directory / "tokenizer_config.json", default={}),
    }
    named = {role: config.get(role) for role in ROLES}
    texts = {role: token.get("content") if isinstance(token, dict) else token for role, token in named.items()}
    return {role: text for role, text in texts.items() if isinstance(text, str)}


def _head_width(model: LocatedModel) -> int:
    width = architecture(model).get("vocab_size")
    if not isinstance(width, int):
        raise ModelError(f"model {model.name!r}: config.json has no vocab_size")
    return width


def _check_ordinary(who: str, own: Vocabulary, others: Vocabulary) -> None:
    """Refuse different ordinary tokens, ids or merges, naming the first that differ."""
    if own.ordinary != others.ordinary:
        raise ModelError(
            f"{who} have different vocabularies: {_differences(own.ordinary, others.ordinary)}; distil within one "
            "tokenizer family"
        )
    if own.rules != others.rules:
        pairs = zip(own.rules, others.rules, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(own.rules), len(others.rules)))
        raise ModelError(
            f"{who} have equal tokens but different merges from number {at} on; they split text differently"
        )


def _differences(own: Mapping[str, int], others: Mapping[str, int]) -> str:
    kinds = {
        "only in the first": sorted(own.keys() - others.keys()),
        "only in the second": sorted(others.keys() - own.keys()),
        "under other ids": [token for token, id in own.items() if others.get(token, id) != id],
    }
    return "; ".join(
        f"{len(tokens)} {kind} ({', '.join(map(repr, tokens[:_SHOWN]))})" for kind, tokens in kinds.items() if tokens
    )


def _mapping(own: Vocabulary, others: Vocabulary, own_width: int, other_width: int) -> dict[int, int]:
    """Map the student's ids to the other's, leaving out what a head has no row for."""
    mapping = {id: others.ordinary[token] for token, id in own.ordinary.items()}
    by_content = {id: others.added[token] for token, id in own.added.items() if token in others.added}
    mapping |= by_content
    taken = set(by_content.values())
    for role in ROLES:
        token, partner = own.roles.get(role), others.roles.get(role)
        if token is None or partner is None or token not in own.added or partner not in others.added:
            continue
        id, target = own.added[token], others.added[partner]
        if id not in mapping and target not in taken:
            mapping[id] = target
            taken.add(target)
    return {id: target for id, target in mapping.items() if id < own_width and target < other_width}


def _shared(own: Vocabulary, others: Vocabulary, mapping: Mapping[int, int], size: int) -> SharedVocabulary:
    images = {target for id, target in mapping.items() if id < size}
    return SharedVocabulary(
        size,
        {id: target for id, target in mapping.items() if id < size and id != target},
        tuple(token for token, id in sorted(own.added.items(), key=lambda item: item[1]) if id >= size),
        tuple(token for token, id in sorted(others.added.items(), key=lambda item: item[1]) if id not in images),
    )
