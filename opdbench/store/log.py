"""An append-only log of records: one JSON line each, written by one ``write`` and carrying its own checksum.

Only lines that are exactly what ``append`` writes count, to the last byte. Everything else (a torn tail, zeros after a
power cut, a flipped bit) is set aside in ``NAME.torn``, is no longer there for the caller, and is so computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from opdbench.errors import StoreError
from opdbench.records import SCHEMA
from opdbench.store.files import disk_full, explained, sync_directory, write_atomic

_ENVELOPE = ("schema", "sha256")


@dataclass(frozen=True, slots=True)
class Damage:
    """A piece of a log that was set aside: where it began, how long it was, and what was wrong with it."""

    offset: int
    num_bytes: int
    reason: str


class RecordLog:
    """A log on disk, open for one writer; readers pass ``read_only`` and change nothing.

    A record is a mapping of plain JSON values with a text under ``key``. Of records with one key the first counts.

    Attributes:
        path: The file; it need not exist.
        damaged: What was found damaged on opening.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open a log and set damaged pieces aside.

        Raises:
            StoreError: the file cannot be read, cannot be healed, or was written by another version.
        """
        self.path = path
        self._read_only = read_only
        self._spans: dict[str, tuple[int, int]] = {}
        self.damaged: tuple[Damage, ...] = ()
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        self.damaged = tuple(self._scan(content))
        if self.damaged and not read_only:
            self._set_aside(content)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._spans)

    def keys(self) -> KeysView[str]:
        """Return the keys in the order in which they were written; a live view."""
        return self._spans.keys()

    def records(self) -> list[dict[str, Any]]:
        """Return all records in the order in which they were written."""
        return list(self)

    def find(self, keys: Iterable[str]) -> list[dict[str, Any] | None]:
        """Return the records of some keys, in their order and without reading others; None where there is none."""
        found: list[dict[str, Any] | None] = []
        with self.path.open("rb") if self._spans else nullcontext() as stream:
            for key in keys:
                span = self._spans.get(key)
                found.append(None if span is None or stream is None else _read(stream, span))
        return found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records without holding all of them."""
        if not self._spans:
            return
        with self.path.open("rb") as stream:
            for span in list(self._spans.values()):
                yield _read(stream, span)

    def append(self, batch: Sequence[Mapping[str, Any]]) -> int:
        """Write the records whose keys are new, then fsync once; return how many were new.

        Raises:
            StoreError: the disk takes no more. Whole records stay, and a half-written one is taken back.
            ValueError: a record has no key, or holds what JSON cannot say; nothing was written.
        """
        if self._read_only:
            raise RuntimeError(f"{self.path} is open for reading; lock its directory first")
        lines: dict[str, bytes] = {}
        for record in batch:
            line = encode(record)
            lines.setdefault(record["key"], line)
        new = [(key, line) for key, line in lines.items() if key not in self._spans]
        if new:
            self._write(new)
        return len(new)

    def truncate_to(self, num_records: int) -> list[dict[str, Any]]:
        """Keep the first records only and return the others.

        Raises:
            StoreError: the file cannot be changed.
        """
        if self._read_only:
            raise RuntimeError(f"{self.path} is open for reading; lock its directory first")
        dropped = self.records()[num_records:]
        if dropped:
            kept = list(self._spans.items())[:num_records]
            with explained(self.path):
                self._truncate(kept[-1][1][1] if kept else 0)
            self._spans = dict(kept)
        return dropped

    def _write(self, lines: Sequence[tuple[str, bytes]]) -> None:
        with explained(self.path):
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                for key, line in lines:
                    self._write_one(descriptor, key, line)
            finally:
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            if is_new:
                sync_directory(self.path.parent)

    def _write_one(self, descriptor: int, key: str, line: bytes) -> None:
        start = os.fstat(descriptor).st_size
        written = 0
        try:
            written = os.write(descriptor, line)
        finally:
            if written != len(line):
                # Should taking it back fail too, the next open finds a torn tail and sets it aside.
                with suppress(OSError):
                    os.ftruncate(descriptor, start)
        if written != len(line):
            raise disk_full(self.path, "the disk is full (a record was written in part)")
        self._spans[key] = (start, start + written)

    def _scan(self, content: bytes) -> Iterator[Damage]:
        start = 0
        while start < len(content):
            end = content.find(b"\n", start) + 1 or len(content)
            key, reason = _check(content[start:end], self.path)
            if reason:
                yield Damage(start, end - start, reason)
            else:
                self._spans.setdefault(key, (start, end))
            start = end

    def _set_aside(self, content: bytes) -> None:
        """Move damaged pieces to the ``.torn`` file; a damaged tail is cut off, other damage rewrites the log."""
        pieces = b"".join(content[piece.offset : piece.offset + piece.num_bytes] + b"\n" for piece in self.damaged)
        torn = self.path.with_name(f"{self.path.name}.torn")
        with explained(torn), torn.open("ab") as stream:
            stream.write(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        ends = max((end for _, end in self._spans.values()), default=0)
        if self.damaged[0].offset >= ends:
            with explained(self.path):
                self._truncate(self.damaged[0].offset)
            return
        whole = b"".join(content[start:end] for start, end in self._spans.values())
        write_atomic(self.path, whole)
        self._spans = {}
        list(self._scan(whole))

    def _truncate(self, size: int) -> None:
        with self.path.open("r+b") as stream:
            stream.truncate(size)
            os.fsync(stream.fileno())


def _read(stream: IO[bytes], span: tuple[int, int]) -> dict[str, Any]:
    stream.seek(span[0])
    record: dict[str, Any] = json.loads(stream.read(span[1] - span[0]))
    return {name: value for name, value in record.items() if name not in _ENVELOPE}


def encode(record: Mapping[str, Any]) -> bytes:
    """Return the one line of a record: canonical JSON with ``schema`` and ``sha256`` among its keys.

    Raises:
        ValueError: there is no text under ``key``, a name is taken by the log, or a value is not plain JSON.
    """
    if not isinstance(record.get("key"), str) or any(name in record for name in _ENVELOPE):
        raise ValueError(f"a record needs a text under 'key' and none of {', '.join(_ENVELOPE)}: {dict(record)!r:.200}")
    # Read back once: keys that are numbers would sort in another order after a round trip.
    body: dict[str, Any] = json.loads(_dump({**record, "schema": SCHEMA}))
    return _dump({**body, "sha256": hashlib.sha256(_dump(body)).hexdigest()}) + b"\n"


def _dump(value: object) -> bytes:
    """Return canonical JSON in ASCII, the one form in which text with lone surrogates survives."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _check(line: bytes, path: Path) -> tuple[str, str]:
    """Return a line's key and what is wrong with it, "" if nothing is.

    Raises:
        StoreError: the line is whole and of another schema: a newer version wrote it, and it must not be dropped.
    """
    if not line.endswith(b"\n"):
        return "", "torn tail"
    try:
        record = json.loads(line)
        schema, body = record.pop("schema"), {name: record[name] for name in record if name != "sha256"}
        if encode(body) == line:
            return body["key"], ""
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return "", "not a record"
    if schema != SCHEMA and record["sha256"] == hashlib.sha256(_dump({**body, "schema": schema})).hexdigest():
        raise StoreError(f"{path} has schema {schema!r}, and this version reads {SCHEMA}; use another run directory")
    return "", "checksum differs"
