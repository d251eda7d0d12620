"""Texts that later passes over the data use again: paid for once, kept beside the training state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opdbench.engines.engine import Tokens
from opdbench.store import RecordLog


@dataclass(frozen=True, slots=True)
class _Text:
    tokens: Tokens
    limit: int


@dataclass(slots=True)
class KeptTexts:
    """Texts by key, each with the limit that it was drawn under; without a log they last as long as the process."""

    log: RecordLog | None = None
    _texts: dict[str, _Text] = field(default_factory=dict[str, _Text])
    _unwritten: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    _count: int = 0

    @classmethod
    def open(cls, path: Path) -> KeptTexts:
        """Return the texts of a log."""
        texts = cls(RecordLog(path))
        texts._read()
        return texts

    def find(self, key: str, limit: int) -> Tokens | None:
        """Return a text that ended by itself, or that was drawn under a limit at least as high."""
        kept = self._texts.get(key)
        is_enough = kept is not None and (kept.tokens.finish_reason == "stop" or kept.limit >= limit)
        return kept.tokens if kept is not None and is_enough else None

    def keep(self, key: str, tokens: Tokens, limit: int) -> None:
        """Keep a text in place of a shorter one."""
        self._texts[key] = _Text(tokens, limit)
        fields = {"ids": list(tokens.token_ids), "finish": tokens.finish_reason, "limit": limit}
        self._unwritten.append({"key": str(self._count), "text": key, **fields})
        self._count += 1

    def save(self) -> int:
        """Write what is new, and return how many records there are."""
        if self.log is not None:
            self.log.append(self._unwritten)
        self._unwritten = []
        return self._count

    def cut(self, count: int) -> None:
        """Forget everything after the first records: it belongs to steps that are taken again."""
        if self.log is not None:
            self.log.truncate_to(count)
            self._read()

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    def _read(self) -> None:
        records = self.log.records() if self.log is not None else []
        self._count = len(records)
        self._texts = {
            record["text"]: _Text(Tokens(tuple(record["ids"]), (), record["finish"]), record["limit"])
            for record in records
        }
