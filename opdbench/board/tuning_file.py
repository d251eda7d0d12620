"""``tuning.json``: a search beside the board that it was made for."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from opdbench.board.tuning import Tuning
from opdbench.config import BoardConfig
from opdbench.errors import DataError
from opdbench.store.files import write_atomic

FILE = "tuning.json"


def load_tuning(folder: Path) -> Tuning | None:
    """Return what a board's folder holds of a search, None if nothing.

    Raises:
        DataError: the file is not one that this version reads.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return Tuning.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path} is not what `opdbench tune` writes: {where}: {first['msg']}; run it again") from None


def merged(board: BoardConfig, folder: Path, tuning: Tuning) -> Tuning:
    """Return a search with the other rows of the same search that a board's folder holds.

    Raises:
        DataError: what the folder holds cannot be read.
    """
    old = load_tuning(folder)
    frame = {"students", "rows", "marks"}
    if old is None or old.model_dump(exclude=frame) != tuning.model_dump(exclude=frame):
        return tuning
    kept = {row.id: old.rows[row.id] for row in board.rows if row.id in old.rows}
    marks = tuple(sorted({*old.marks, *tuning.marks}))
    students = {**old.students, **tuning.students}
    return tuning.model_copy(update={"rows": {**kept, **tuning.rows}, "students": students, "marks": marks})


def write_tuning(folder: Path, tuning: Tuning) -> Path:
    """Write ``tuning.json`` into a board's folder.

    Raises:
        StoreError: it cannot be written.
    """
    path = folder / FILE
    write_atomic(path, tuning_text(tuning).encode())
    return path


def tuning_text(tuning: Tuning) -> str:
    """Return the file's text: sorted, lists of numbers on one line, nothing of the clock."""
    data = tuning.model_dump(mode="json")
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"
    return re.sub(r"\[\s+(-?[\d.e+-]+(?:,\s+-?[\d.e+-]+)*)\s+\]", lambda found: _one_line(found[1]), text)


def _one_line(numbers: str) -> str:
    return f"[{', '.join(number.strip() for number in numbers.split(','))}]"
