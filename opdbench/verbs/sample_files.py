"""Reads completions that were made elsewhere: our JSONL, details of lighteval (parquet), samples of lm-eval (JSONL).

A row of another program names its problem by an id where it has one of ours, else by the prompt that it showed; never
by its place in the file, since places differ between versions of a data set. A line of ours names it by its id, or by
its question or prompt where it has no id of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opdbench.errors import DataError
from opdbench.records import FinishReason

_PROMPTS = ("prompt", "question", "problem")
_IDS = ("problem_id", "unique_id", "uid", "id", "task_id", "question_id", "doc_id")


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion as a file has it.

    Attributes:
        task: The task it names, "" where it names none of its own.
        ids: What may be the problem's id, best first.
        prompt: What the model was shown or the question alone, where the file says it.
        sample: Its number among the samples of the problem; None where the file does not count them.
        text: What the model answered.
        finish_reason: ``length`` where the file says that the completion was cut.
        num_tokens: Its length in the model's tokens, where the file says it.
        line: Where it stands in the file, from 1.
        is_ours: Whether the id is meant for our tasks, so that no prompt need confirm it.
    """

    task: str
    ids: tuple[str, ...]
    prompt: str
    sample: int | None
    text: str
    finish_reason: FinishReason
    num_tokens: int | None
    line: int
    is_ours: bool = False


def read_completions(path: Path) -> list[Completion]:
    """Return the completions of a file, whichever of the three formats it has.

    Raises:
        DataError: the file is missing, empty, or a line of it is none of the three.
    """
    try:
        is_parquet = path.read_bytes()[:4] == b"PAR1"
        found = list(_details(path) if is_parquet else _lines(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not found:
        raise DataError(f"{path} holds no completions")
    return found


def _lines(path: Path) -> Iterator[Completion]:
    for number, line in enumerate(path.read_text("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: no JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: an object is expected")
        if "resps" in row:
            yield from _responses(path, number, row)
        else:
            yield _own(path, number, row)


def _own(path: Path, number: int, row: Mapping[str, Any]) -> Completion:
    text, sample = row.get("text"), row.get("sample")
    ids, prompts = _ids({"problem_id": row.get("problem_id")}), [row[name] for name in _PROMPTS if name in row]
    if not isinstance(text, str) or not (ids or prompts):
        raise DataError(
            f'{path}:{number}: a line is {{"task", "problem_id", "sample", "text"}}, or one of lm-eval; '
            f"{', '.join(_PROMPTS)} may stand for problem_id"
        )
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 0):
        raise DataError(f"{path}:{number}: sample is a number from 0, not {sample!r}")
    tokens, task = row.get("num_tokens"), row.get("task", "")
    if not isinstance(task, str):
        raise DataError(f"{path}:{number}: task is a text, not {task!r}")
    count, finish = tokens if isinstance(tokens, int) else None, _finish(row.get("finish_reason"))
    return Completion(task, ids, "\n".join(_strings(prompts[:1])), sample, text, finish, count, number, is_ours=True)


def _finish(reason: object) -> FinishReason:
    return "length" if reason in ("length", "max_tokens", "model_length") else "stop"


def _responses(path: Path, number: int, row: Mapping[str, Any]) -> Iterator[Completion]:
    """Yield the completions of one line of lm-eval; a line of a second filter repeats the same ones."""
    doc, responses = row.get("doc"), row["resps"]
    if not isinstance(responses, list):
        raise DataError(f"{path}:{number}: resps is a list of texts, not {responses!r:.60}")
    texts: list[Any] = [text for answers in responses for text in (answers if isinstance(answers, list) else [answers])]
    if not isinstance(doc, dict) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}:{number}: only generated text can be graded, not log-likelihoods")
    found = re.fullmatch(r"samples_(.+?)_\d{4}-\d\d-\d\d.*", path.stem)
    task = str(row.get("task") or (found[1] if found else ""))
    prompt = "\n".join(_strings(row.get("arguments")))
    for index, text in enumerate(texts):
        yield Completion(task, _ids(doc), prompt, index, text, "stop", None, number)


def _details(path: Path) -> Iterator[Completion]:
    """Yield the completions of a details file: one row per problem, all of its samples in it."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[Any] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no parquet file: {error}") from None
    found = re.fullmatch(r"details_(.+?)(?:\|\d+)?_\d{4}-\d\d-\d\d.*", path.stem)
    for number, row in enumerate(rows, 1):
        doc, response = row.get("doc"), row.get("model_response")
        if not isinstance(doc, dict) or not isinstance(response, dict):
            raise DataError(f"{path}: row {number} has no doc and model_response; is it a details file?")
        specific: Any = doc.get("specific")
        ids = (*_ids(specific if isinstance(specific, dict) else {}), *_ids(doc))
        task = str(doc.get("task_name") or (found[1] if found else "")).partition("|")[0]
        texts, lengths = _texts(path, number, response.get("text")), _lengths(path, number, response)
        for index, text in enumerate(texts):
            count = lengths[index] if index < len(lengths) else None
            finish = _finish_of(count, doc.get("generation_size"))
            yield Completion(task, ids, str(doc.get("query") or ""), index, text, finish, count, number)


def _finish_of(num_tokens: int | None, limit: object) -> FinishReason:
    """Return why a sample ended, which a details file does not say: at the most tokens allowed it was cut."""
    return "length" if num_tokens and isinstance(limit, int) and num_tokens >= limit else "stop"


def _texts(path: Path, number: int, value: Any) -> list[str]:
    """Return the samples of a row; a text alone is one sample."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{path}: row {number}: model_response.text is a list of texts, not {value!r:.60}")
    return value


def _lengths(path: Path, number: int, response: Mapping[str, Any]) -> list[int]:
    """Return the tokens of each sample, none where the file does not say them."""
    value: Any = response.get("output_tokens")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tokens, list) for tokens in value):
        raise DataError(f"{path}: row {number}: model_response.output_tokens is a list of lists, not {value!r:.60}")
    return [len(tokens) for tokens in value]


def _ids(row: Mapping[str, Any]) -> tuple[str, ...]:
    values = (row.get(name) for name in _IDS)
    return tuple(str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool))


def _strings(value: Any) -> Iterator[str]:
    """Yield all texts inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
