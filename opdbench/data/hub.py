"""A data set of the Hugging Face hub, or files of a GitHub repository, at a pinned commit, or a local copy of either.

A local copy (``OPDBENCH_DATA``) comes first, then what ``opdbench fetch`` or an earlier run left in the hub's cache;
the network only where it is allowed (``HF_HUB_OFFLINE`` is honoured) and never for data without a pinned commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from opdbench.data import github
from opdbench.data.files import PlacedRow, Row, placed_rows, sha256_of
from opdbench.data.local import VARIABLE, data_directory, find_local, matching
from opdbench.errors import ROW_ERRORS, DataError, MissingDataError, told
from opdbench.records import Pool

UNPINNED = "unpinned"
"""The revision of data whose commit is not known here: only a local copy is read, nothing is downloaded."""
PLAIN = frozenset({"id", "problem", "answer"})
"""The columns of the plain form, which any data set may be given in."""


def as_it_is(row: Row) -> Row:
    """Return the row: its columns are those of the plain form already."""
    return row


def keep_all(rows: Sequence[Row]) -> Iterable[Row]:
    """Return all rows."""
    return rows


@dataclass(frozen=True, slots=True)
class HubData:
    """Rows of published files, in the plain form ``{id, problem, answer, ...}``.

    Attributes:
        name: What a local copy is called: ``NAME.jsonl``, ``NAME.parquet``, or a folder of the original files.
        repo: The data set's id on the hub, or the repository's on GitHub.
        revision: Commit, 40 hex digits, or ``UNPINNED``; of a release its tag.
        files: Patterns of the files inside the data set.
        columns: What every original row must have.
        num_rows: How many rows the original files hold, before ``select``.
        select: Chooses the rows to ask, from all original rows; rows in the plain form are taken as they are.
        plain: Writes an original row in the plain form.
        sha256: Original file to its sha256, where it is known beyond the commit.
        is_gated: Whether the hub asks for a login and accepted terms.
        host: Where ``repo`` is: the hub, GitHub, or the files of a release there. A file on GitHub needs its name in
            full and its sha256.
        pool: The only pool.
        also: Names that the original file has elsewhere, such as in its authors' repository; a local copy may keep one.
    """

    name: str
    repo: str
    revision: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    num_rows: int
    select: Callable[[Sequence[Row]], Iterable[Row]] = keep_all
    plain: Callable[[Row], Row] = as_it_is
    sha256: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    is_gated: bool = False
    host: Literal["hub", "github", "release"] = "hub"
    pool: Pool = "test"
    also: tuple[str, ...] = ()

    def rows(self, pool: Pool) -> Iterable[Mapping[str, Any]]:
        """Return the rows, checked.

        Raises:
            DataError: no copy is there, or it has another hash, another schema, another number of rows, or a row that
                is not what its columns promise.
        """
        if pool != self.pool:
            return []
        paths = self.locate()
        for path in paths:
            self._check_hash(path)
        rows = [row for path in paths for row in placed_rows(path)]
        where = str(paths[0] if len(paths) == 1 else paths[0].parent)
        if self._is_original(rows, where):
            self._check_count(rows, where)
            return [self._plain(row, number, where) for number, row in enumerate(self._selected(rows, where), 1)]
        return rows

    def _selected(self, rows: Sequence[Row], where: str) -> list[Row]:
        try:
            return list(self.select(rows))
        except ROW_ERRORS as error:
            raise DataError(f"{where}: {told(error)}") from error

    def _plain(self, row: Row, number: int, where: str) -> PlacedRow:
        place = row.place if isinstance(row, PlacedRow) else f"{where}, row {number} of those that are asked"
        try:
            return PlacedRow(self.plain(row), place)
        except ROW_ERRORS as error:
            raise DataError(f"{place}: {told(error)}") from error

    def locate(self) -> list[Path]:
        """Return the local copy's files, else those in the hub's cache, else download them.

        Raises:
            MissingDataError: none is there, and none may or can be downloaded.
            DataError: a local copy is there twice, or what was downloaded is not what was pinned.
        """
        return self._beside() or self._cached() or self._downloaded()

    def fetch(self) -> Path:
        """Download what is not there yet, also the rest of a download that was stopped, and return where it is.

        Raises:
            DataError: as ``locate``.
        """
        local = self._beside()
        paths = local or (self._cached() if is_offline() else []) or self._downloaded()
        return paths[0].parent

    def _beside(self) -> list[Path]:
        """Return the files of a local copy; a release's files have names of their own and need no other."""
        directory = data_directory()
        local = find_local(self.name, self.files, self.files if self.host == "release" else ())
        return local or ([] if directory is None else matching(directory, self.also))

    def _cached(self) -> list[Path]:
        return [] if self.revision == UNPINNED else self._snapshot(local_files_only=True)

    def _downloaded(self) -> list[Path]:
        if self.revision == UNPINNED:
            raise MissingDataError(
                f"{self._missing()}; its commit is not pinned, so it is never downloaded: {self._local()}"
            )
        if is_offline():
            raise MissingDataError(f"{self._missing()}, and this machine is offline; {self._hints()}")
        paths = self._snapshot(local_files_only=False)
        if not paths:
            raise DataError(f"{self.repo} at {self.revision} has no file {', '.join(self.files)}; {self._local()}")
        return paths

    def _snapshot(self, *, local_files_only: bool) -> list[Path]:
        if self.host == "hub":
            return self._hub_snapshot(local_files_only=local_files_only)
        if local_files_only:
            return github.cached_files(self.repo, self.revision, self.files)
        try:
            return github.download_files(self.repo, self.revision, self.files, self.sha256, self.host)
        except OSError as error:
            raise MissingDataError(
                f"{self._missing()}, and GitHub was not reached ({error}); {self._hints()}"
            ) from error

    def _hub_snapshot(self, *, local_files_only: bool) -> list[Path]:
        from httpx import HTTPError
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

        try:
            folder = snapshot_download(
                self.repo,
                repo_type="dataset",
                revision=self.revision,
                allow_patterns=list(self.files),
                local_files_only=local_files_only,
            )
        except GatedRepoError as error:
            gate = f"accept the terms at https://huggingface.co/datasets/{self.repo} and log in (`hf auth login`)"
            raise MissingDataError(f"{self._missing()}; it is gated: {gate}") from error
        except LocalEntryNotFoundError as error:
            if local_files_only:
                return []
            raise MissingDataError(f"{self._missing()}, and the hub was not reached; {self._hints()}") from error
        except (OSError, HTTPError) as error:
            raise MissingDataError(
                f"{self._missing()}, and the hub did not give it ({error}); {self._hints()}"
            ) from error
        return matching(Path(folder), self.files)

    def _missing(self) -> str:
        return f"{self.name}: {', '.join(self.files)} of {self.repo} at {self.revision} is not here"

    def _hints(self) -> str:
        return f"run `opdbench fetch {self.name}` beforehand where there is a network, or {self._local()}"

    def _local(self) -> str:
        columns = ", ".join(self.columns)
        files = f"{self.files[0]} or {self.name}.jsonl" if self.host == "release" else f"{self.name}.jsonl"
        return f"put {files} (columns {columns}, or id, problem, answer) into the directory {VARIABLE} names"

    def _check_hash(self, path: Path) -> None:
        expected = next((value for name, value in self.sha256.items() if path.as_posix().endswith(f"/{name}")), None)
        if expected is not None and (found := sha256_of(path)) != expected:
            raise DataError(f"{path}: sha256 {expected} expected at {self.revision}, got {found}")

    def _is_original(self, rows: Sequence[Row], where: str) -> bool:
        """Say whether the rows have the original columns; else they must all have those of the plain form."""
        for required, is_original in ((frozenset(self.columns), True), (PLAIN, False)):
            if all(required <= row.keys() for row in rows):
                return is_original
        odd = next((row for row in rows if not set(self.columns) <= row.keys()), {})
        raise DataError(
            f"{where}: columns {', '.join(self.columns)} expected (or id, problem, answer), got {', '.join(odd)}"
        )

    def _check_count(self, rows: Sequence[Row], where: str) -> None:
        if len(rows) != self.num_rows:
            raise DataError(f"{where}: {self.num_rows} rows expected at {self.revision}, got {len(rows)}")


def is_offline() -> bool:
    """Say whether the environment forbids the network."""
    named = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in named)
