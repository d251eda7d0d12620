"""A finished log as parquet (zstd) beside a manifest: what pandas and ``datasets`` read, and what is published."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opdbench.errors import StoreError
from opdbench.store.files import explained, read_json, sync_directory, write_json_atomic
from opdbench.store.log import RecordLog, encode


@dataclass(frozen=True, slots=True)
class Manifest:
    """What identifies a sealed file.

    ``sha256`` is of the file, ``content_sha256`` of the records in order, whatever library wrote the file.
    """

    num_rows: int
    num_bytes: int
    sha256: str
    content_sha256: str


def seal(log: RecordLog, target: Path) -> Manifest:
    """Write a log's records, sorted by key, to a parquet file and its manifest; the log stays.

    Nested values, and columns of mixed types, are JSON text. The same records give the same file.

    Raises:
        StoreError: the file cannot be written.
    """
    import pyarrow.parquet as pq

    records = sorted(log, key=lambda record: _natural(record["key"]))
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    with explained(target):
        try:
            pq.write_table(_table(records), temporary, compression="zstd")
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            manifest = Manifest(len(records), temporary.stat().st_size, digest, _content(records))
            temporary.replace(target)
            sync_directory(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
    write_json_atomic(_manifest_path(target), asdict(manifest))
    return manifest


def sealed(target: Path) -> Manifest | None:
    """Return the manifest of a sealed file that is what its manifest says; None if there is none.

    Raises:
        StoreError: the file differs from its manifest.
    """
    data = read_json(_manifest_path(target))
    if data is None or not target.exists():
        return None
    manifest = Manifest(**data)
    with target.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != manifest.sha256:
            raise StoreError(f"{target} differs from its manifest; remove it and seal the log again")
    return manifest


def _manifest_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}.manifest.json")


def _natural(key: str) -> list[tuple[int, str]]:
    """Sort numbers inside keys by value: ``a/2`` before ``a/10``; the whole key settles ties."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)] + [(-1, key)]


def _content(records: Iterable[Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(encode(record))
    return digest.hexdigest()


def _table(records: Sequence[Mapping[str, Any]]) -> Any:
    import pyarrow as pa

    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: _column([record.get(name) for record in records]) for name in names}
    return pa.table({name: pa.array(values, getattr(pa, kind)()) for name, (kind, values) in columns.items()})


def _column(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a column's type and values; the type follows from the values alone."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool_", list(values)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return "int64", list(values)
    if kinds == {float}:
        return "float64", list(values)
    if kinds <= {str}:
        return "string", [None if value is None else _clean(value) for value in values]
    return "string", [None if value is None else json.dumps(value, sort_keys=True) for value in values]


def _clean(text: str) -> str:
    """Replace lone surrogates, which parquet cannot hold."""
    return text.encode("utf-8", "replace").decode()
