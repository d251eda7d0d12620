"""What a board's models are, by content, and how large; nothing is fetched.

The shape of a hub model is looked up in ``models.toml``, beside the board or beside the boards: one table per hub id
with the fields of its ``config.json``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from opdbench.checkpoints import architecture, compatible, locate
from opdbench.config import SELF, BoardConfig, RowConfig
from opdbench.errors import ConfigError, ModelError
from opdbench.flops import Shape
from opdbench.model import ModelEntry
from opdbench.trainer import LocatedModel

MODELS_FILE = "models.toml"
_KEY = re.compile(r"[0-9a-f]{16}")


class Models:
    """The entries of a board's ``[models]``."""

    def __init__(self, board: BoardConfig) -> None:
        self.board = board
        self._identities: dict[str, str] = {}

    def identity(self, name: str) -> str:
        """Return what identifies a model that is no cell's output.

        Raises:
            ConfigError: there are no such files.
        """
        if name not in self._identities:
            self._identities[name] = self._identify(name, self.board.models[name])
        return self._identities[name]

    def cell_reference(self, name: str, seed: int) -> tuple[str, int] | str:
        """Return the row and seed that a ``cell:`` entry means, or the key that it names.

        Raises:
            ConfigError: there is no such row or seed, and it is no key.
        """
        text = self.board.models[name].cell or ""
        rows = [row.id for row in self.board.rows]
        row, _, number = text.rpartition("/")
        if text in rows:
            return text, seed
        if row in rows and number in map(str, self.board.seeds):
            return row, int(number)
        if _KEY.fullmatch(text):
            return text
        forms = "cell:ROW, cell:ROW/SEED with a seed of this board, or cell:KEY with 16 hex digits"
        raise self._error(name, f"{text!r} is no cell; write {forms}. Rows: {', '.join(rows)}")

    def shape(self, name: str) -> Shape:
        """Return the sizes of a model.

        Raises:
            ConfigError: they are not known here, or no formula exists for the architecture.
        """
        entry = self.board.models[name]
        if entry.cell is not None and isinstance(reference := self.cell_reference(name, self.board.seeds[0]), tuple):
            return self.shape(self.board.row(reference[0]).student_name)
        try:
            if entry.path in self._listed:
                return Shape.from_config({**self._listed[entry.path], **entry.overrides})
            if is_local(entry, self.board.directory):
                return Shape.from_config(architecture(locate(name, entry, self.board.directory)))
        except ModelError as error:
            raise self._error(name, str(error)) from error
        raise self._error(
            name, f"the sizes of {entry.path} are not known; give its config.json as a table of {self._list_file}"
        )

    @property
    def _list_file(self) -> Path:
        beside = self.board.directory / MODELS_FILE
        return beside if beside.exists() else self.board.directory.resolve().parent / MODELS_FILE

    @cached_property
    def _listed(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            return tomllib.loads(self._list_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._list_file} cannot be read: {error}") from error

    def check_vocabularies(self, row: RowConfig) -> None:
        """Refuse a teacher or reference that shares no vocabulary with the student, as far as files are here.

        Raises:
            ModelError: tokenizers or heads do not fit; the message says where they differ.
        """
        student = self._local(row.student_name)
        for name in (*row.teacher_names.values(), *([row.reference] if row.reference else [])):
            other = None if name == SELF else self._local(name)
            if student is not None and other is not None:
                compatible(student, other)

    def _local(self, name: str) -> LocatedModel | None:
        entry = self.board.models[name]
        if entry.cell is not None or not is_local(entry, self.board.directory):
            return None
        model = locate(name, entry, self.board.directory)
        return model if (model.directory / "tokenizer.json").exists() else None

    def _identify(self, name: str, entry: ModelEntry) -> str:
        if not is_local(entry, self.board.directory):
            return f"hub:{entry.path}@{entry.revision or 'unpinned'}"
        try:
            return f"sha256:{locate(name, entry, self.board.directory).content_hash}"
        except ModelError as error:
            raise self._error(name, str(error)) from error

    def _error(self, name: str, message: str) -> ConfigError:
        return self.board.origin.error(("models", name, "path"), message)


def is_local(entry: ModelEntry, base: Path) -> bool:
    """Whether a model's files are on this machine by themselves; what is neither local nor a cell is a hub id."""
    folders = (base / entry.path, Path(entry.path))
    is_hub_like = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", entry.path) is not None
    return not is_hub_like or any(folder.is_dir() for folder in folders)
