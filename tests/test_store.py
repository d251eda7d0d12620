"""The run directory: locks between processes, cells that are written under one only, and safe names."""

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_records import RECORDS, child

from opdbench.errors import StoreError
from opdbench.store import DirectoryLock, RunStore, safe_name
from opdbench.store.lock import LOCK_FILE

# ---------------------------------------------------------------------------------------------------- locks

HOLDER = """
    import sys, time
    from pathlib import Path
    from opdbench.store import RunStore
    with RunStore(Path(sys.argv[1])).lock():
        print("held", flush=True)
        time.sleep(60)
"""


def test_two_processes_on_one_directory(tmp_path: Path) -> None:
    process = child(HOLDER, tmp_path)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=rf"process {process.pid} on .*, since \d{{4}}-") as caught:
        DirectoryLock(tmp_path).acquire()
    assert LOCK_FILE in str(caught.value)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with DirectoryLock(tmp_path) as lock:
        assert lock.is_held
    assert not (tmp_path / LOCK_FILE).exists()


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "is_stale"),
    [
        ({}, False),
        ({"started": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"boot": "another"}, True),
        ({"host": "another", "pid": 2**22 + 1}, False),
        ({"namespace": "another", "pid": 2**22 + 1}, False),
    ],
)
def test_only_what_is_known_to_be_stale_is_taken_over(
    tmp_path: Path, changes: dict[str, object], is_stale: bool
) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    _edit(first.path, **changes)
    if is_stale:
        second.acquire()
        first.release()
        assert second.path.exists()
    else:
        with pytest.raises(StoreError, match="in use"):
            second.acquire()


def test_a_lock_is_not_inherited_by_a_fork(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as lock:
        pid = os.fork()
        if pid == 0:
            held = lock.is_held
            lock.release()
            os._exit(int(held))
        assert os.waitpid(pid, 0)[1] == 0
        assert lock.path.exists()


def test_many_processes_race_for_a_stale_lock(tmp_path: Path) -> None:
    DirectoryLock(tmp_path).acquire()
    _edit(tmp_path / LOCK_FILE, started="1")
    code = """
        import os, sys, time
        from pathlib import Path
        from opdbench.errors import StoreError
        from opdbench.store import DirectoryLock
        workers = []
        for _ in range(12):
            pid = os.fork()
            if pid == 0:
                try:
                    DirectoryLock(Path(sys.argv[1])).acquire()
                    time.sleep(0.5)
                    os._exit(1)
                except StoreError:
                    os._exit(0)
            workers.append(pid)
        print(sum(os.waitpid(pid, 0)[1] >> 8 for pid in workers))
    """
    assert child(code, tmp_path).communicate(timeout=30)[0] == "1\n"


def test_cells_are_written_under_a_lock_only(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(RuntimeError, match="lock"):
        store.cell("k").write_json("cell", {})
    with pytest.raises(RuntimeError, match="lock"):
        store.cell("k").log("samples").append(RECORDS)
    with store.lock():
        store.cell("k").write_json("cell", {"row": "r"})
        store.cell("k").log("samples").append(RECORDS)
    with RunStore(tmp_path).cell("k").lock() as cell:
        cell.log("samples").append([{"key": "one more"}])
    assert store.cell_keys() == ["k"]
    assert store.cell("k").read_json("cell") == {"row": "r"}
    assert len(store.cell("k").log("samples")) == 5


# --------------------------------------------------------------------------------------------------- names


ODD_NAMES = ["..", ".", "/", "a/../b", "CON", "nul.txt", "x" * 400, "x" * 401, "%2E", "~", "-rf"]
NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1) | st.sampled_from(ODD_NAMES)


@settings(max_examples=300)
@given(texts=st.lists(NAMES, min_size=2, max_size=2))
def test_names_are_safe_and_distinct(texts: list[str]) -> None:
    safe = [safe_name(text) for text in texts]
    assert (safe[0] == safe[1]) == (texts[0] == texts[1])
    for name in safe:
        assert name.isascii()
        assert 0 < len(name) <= 150
        assert not set(name) & set("/\\\0 \n:")
        assert not name.startswith(".")
        assert Path(name).name == name


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_impossible_names_are_refused(text: str) -> None:
    with pytest.raises(StoreError):
        safe_name(text)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "k").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="symbolic link"):
        RunStore(tmp_path / "runs").cell("k")
