"""The run directory of a board, and of one of its cells."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opdbench.store.files import explained, read_json, sync_directory, write_json_atomic
from opdbench.store.lock import DirectoryLock
from opdbench.store.log import RecordLog
from opdbench.store.names import inside, safe_name
from opdbench.store.seal import Manifest, seal, sealed

CELL_FILE = "cell.json"


class RunStore:
    """All cells of one board: ``runs/<board>/``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = DirectoryLock(root)

    @contextmanager
    def lock(self) -> Generator[RunStore]:
        """Hold the whole run directory; cells of this store can then be written without a lock of their own.

        Raises:
            StoreError: another process holds it.
        """
        with self._lock:
            yield self

    def cell(self, key: str) -> CellStore:
        """Return the directory of a cell; it need not exist.

        Raises:
            StoreError: the key cannot name a directory, or a symbolic link leads out of the run directory.
        """
        return CellStore(inside(self.root, self.root / safe_name(key)), self._lock)

    def cell_keys(self) -> list[str]:
        """Return the keys of all cells that have a directory, sorted."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{CELL_FILE}"))


class CellStore:
    """One cell: ``runs/<board>/<cell key>/``. Reading needs no lock; whoever writes holds this one or the run's."""

    def __init__(self, directory: Path, run_lock: DirectoryLock | None = None) -> None:
        self.directory = directory
        self._lock = DirectoryLock(directory)
        self._run_lock = run_lock

    @property
    def is_writable(self) -> bool:
        """Whether this process holds the cell, or the run that it belongs to."""
        return self._lock.is_held or (self._run_lock is not None and self._run_lock.is_held)

    @contextmanager
    def lock(self) -> Generator[CellStore]:
        """Hold the cell alone, for a worker of a run or for one command on one cell.

        Raises:
            StoreError: another process holds it.
        """
        with self._lock:
            yield self

    def log(self, name: str) -> RecordLog:
        """Open a log: for writing, and healed, where the lock is held; else as it is, for reading.

        Raises:
            StoreError: it cannot be read or healed.
        """
        return RecordLog(self.directory / f"{safe_name(name)}.jsonl", read_only=not self.is_writable)

    def remove_log(self, name: str) -> None:
        """Remove a log, for example what an interrupted command left.

        Raises:
            StoreError: it cannot be removed.
        """
        self._check_writable()
        path = self.directory / f"{safe_name(name)}.jsonl"
        with explained(path):
            path.unlink(missing_ok=True)

    def swap_log(self, name: str, by: str) -> None:
        """Put one log in the place of another: at every moment one of the two is there, whole.

        Raises:
            StoreError: the directory cannot be written; the old log is untouched.
        """
        self._check_writable()
        old, new = (self.directory / f"{safe_name(log)}.jsonl" for log in (name, by))
        with explained(old):
            new.replace(old)
            sync_directory(self.directory)

    def write_json(self, name: str, value: Any) -> None:
        """Write ``NAME.json`` whole, with a checksum.

        Raises:
            StoreError: it cannot be written; the old content is untouched.
        """
        self._check_writable()
        write_json_atomic(self.directory / f"{safe_name(name)}.json", value)

    def read_json(self, name: str) -> Any:
        """Return what ``write_json`` wrote, None if nothing.

        Raises:
            StoreError: the file is damaged.
        """
        return read_json(self.directory / f"{safe_name(name)}.json")

    def remove_json(self, name: str) -> None:
        """Remove what ``write_json`` wrote, if anything.

        Raises:
            StoreError: it cannot be removed.
        """
        self._check_writable()
        path = self.directory / f"{safe_name(name)}.json"
        with explained(path):
            path.unlink(missing_ok=True)

    def is_sealed(self, name: str) -> bool:
        """Return whether a log has a sealed file, unchecked."""
        return self._sealed_path(name).exists()

    def seal(self, name: str) -> Manifest:
        """Write a log as ``NAME.parquet`` and ``NAME.manifest.json``; the log stays and may grow.

        Raises:
            StoreError: it cannot be written.
        """
        return seal(self.log(name), self._sealed_path(name))

    def sealed(self, name: str) -> Manifest | None:
        """Return the manifest of a sealed log, having checked the file; None if it was not sealed.

        Raises:
            StoreError: the file differs from its manifest.
        """
        return sealed(self._sealed_path(name))

    def _check_writable(self) -> None:
        if not self.is_writable:
            raise RuntimeError(f"{self.directory} is written to without its lock")

    def _sealed_path(self, name: str) -> Path:
        return self.directory / f"{safe_name(name)}.parquet"
