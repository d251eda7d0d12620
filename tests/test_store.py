import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opdbench.errors import StoreError
from opdbench.store import (
    CellStore,
    DirectoryLock,
    RecordLog,
    RunStore,
    read_json,
    recover_directory,
    replace_directory,
    safe_name,
    seal,
    sealed,
    write_json_atomic,
)
from opdbench.store.lock import LOCK_FILE
from opdbench.store.log import encode

RECORDS = [{"key": f"t/{n}/0", "text": f"ü{n}\n", "n": n, "p": 0.1 * n, "deep": {"a": [1, None]}} for n in range(4)]


def keys(path: Path) -> list[str]:
    return list(RecordLog(path).keys())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def quick() -> Iterator[None]:
    """Leave fsync out where only the content of files is at stake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def child(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# -------------------------------------------------------------------------------------------------- the log


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    log = RecordLog(tmp_path / "a.jsonl")
    assert log.append(RECORDS) == 4
    again = RecordLog(tmp_path / "a.jsonl")
    assert again.records() == log.records() == RECORDS
    assert len(again) == 4
    assert "t/2/0" in again.keys()  # noqa: SIM118
    assert not again.damaged


def test_one_line_per_record_with_schema_key_and_checksum(tmp_path: Path) -> None:
    RecordLog(tmp_path / "a.jsonl").append(RECORDS)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [record["key"] for record in RECORDS]
    assert all(line["schema"] == 1 and len(line["sha256"]) == 64 for line in lines)


@pytest.mark.usefixtures("quick")
def test_killed_at_any_byte_it_opens_and_ends_with_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    RecordLog(path).append(RECORDS)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        log = RecordLog(path)
        assert len(log) == sum(end <= size for end in ends)
        assert bool(log.damaged) == (size not in (0, *ends))
        log.append(RECORDS)
        assert path.read_bytes() == whole


def test_a_torn_tail_is_set_aside_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    RecordLog(path).append(RECORDS)
    path.write_bytes(path.read_bytes()[:-9])
    (damage,) = RecordLog(path).damaged
    assert damage.reason == "torn tail"
    torn = (tmp_path / "a.jsonl.torn").read_bytes()
    assert torn.startswith(b'{"deep"')
    assert len(torn) == damage.num_bytes + 1
    assert not RecordLog(path).damaged


@pytest.mark.usefixtures("quick")
@settings(QUICK, max_examples=200)
@given(offset=st.integers(0, 10**6), value=st.integers(1, 255))
def test_every_flipped_byte_is_found(tmp_path_factory: pytest.TempPathFactory, offset: int, value: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.jsonl"
    RecordLog(path).append(RECORDS)
    content = bytearray(path.read_bytes())
    offset %= len(content)
    content[offset] ^= value
    path.write_bytes(content)
    log = RecordLog(path)
    assert log.damaged
    assert all(record in RECORDS for record in log.records())
    assert len(log) >= 2
    log.append(RECORDS)
    assert sorted(keys(path)) == sorted(record["key"] for record in RECORDS)


@pytest.mark.parametrize(
    "tail", [b"\0" * 5000, b"\0\0\n", b"\n", b"{}\n", b"[]\n", b"7\n", b'{"key":"x"}\n', b"\xff\n"]
)
def test_what_is_no_record_is_set_aside(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.jsonl"
    RecordLog(path).append(RECORDS[:2])
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    log = RecordLog(path)
    assert log.records() == RECORDS[:2]
    assert log.damaged
    assert path.read_bytes() == whole


def test_damage_in_the_middle_costs_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    RecordLog(path).append(RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + lines[1][:40] + lines[2] + lines[3])
    log = RecordLog(path)
    assert log.records() == [RECORDS[0], RECORDS[3]]
    assert [damage.reason for damage in log.damaged] == ["not a record"] * 2
    assert path.read_bytes() == lines[0] + lines[3]


def test_of_duplicates_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first, second = ({"key": "x", "value": value} for value in (1, 2))
    path.write_bytes(encode(first) + encode(second) + encode({"key": "y"}))
    log = RecordLog(path)
    assert log.records() == [first, {"key": "y"}]
    assert not log.damaged
    assert log.append([second, {"key": "z"}, {"key": "z", "value": 3}]) == 1
    assert RecordLog(path).records() == [first, {"key": "y"}, {"key": "z"}]


def test_another_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    body = {"key": "x", "schema": 2}
    digest = __import__("hashlib").sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    line = json.dumps({**body, "sha256": digest}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(line)
    with pytest.raises(StoreError, match="schema 2"):
        RecordLog(path)
    assert path.read_bytes() == line


@pytest.mark.parametrize(
    "bad", [{"n": 1}, {"key": 3}, {"key": "x", "sha256": ""}, {"key": "x", "v": float("nan")}, {"key": "x", "v": {1}}]
)
def test_what_cannot_be_written_writes_nothing(tmp_path: Path, bad: dict[str, object]) -> None:
    log = RecordLog(tmp_path / "a.jsonl")
    with pytest.raises((ValueError, TypeError)):
        log.append([{"key": "good"}, bad])
    assert not (tmp_path / "a.jsonl").exists()


TEXTS = st.text(st.characters())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.dictionaries(st.integers(), inner),
    max_leaves=5,
)


@pytest.mark.usefixtures("quick")
@settings(QUICK, max_examples=100)
@given(record=st.dictionaries(TEXTS, VALUES))
def test_any_plain_value_survives(tmp_path_factory: pytest.TempPathFactory, record: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    record = {name: value for name, value in record.items() if name not in ("schema", "sha256")} | {"key": "k"}
    RecordLog(path).append([record])
    log = RecordLog(path)
    assert not log.damaged
    assert log.records() == [json.loads(json.dumps(record))]


def test_truncate_to_returns_what_it_drops(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    log = RecordLog(path)
    log.append(RECORDS)
    assert log.truncate_to(9) == []
    assert log.truncate_to(3) == RECORDS[3:]
    assert RecordLog(path).records() == log.records() == RECORDS[:3]
    assert log.append(RECORDS) == 1
    assert log.truncate_to(0) == RECORDS
    assert path.read_bytes() == b""


def test_readers_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert RecordLog(path, read_only=True).records() == []
    RecordLog(path).append(RECORDS)
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    log = RecordLog(path, read_only=True)
    assert len(log) == 3
    assert log.damaged
    assert path.read_bytes() == torn
    with pytest.raises(RuntimeError, match="lock"):
        log.append(RECORDS)
    assert names(tmp_path) == ["a.jsonl"]


# ------------------------------------------------------------------------------------------ crash, full disk

WRITER = """
    import sys
    from pathlib import Path
    from opdbench.store import RecordLog
    log = RecordLog(Path(sys.argv[1]))
    print("ready", flush=True)
    for n in range(10**6):
        log.append([{"key": f"{n}/{i}", "text": "x" * 3000} for i in range(3)])
"""


def test_a_writer_killed_again_and_again_loses_nothing_whole(tmp_path: Path) -> None:
    path, seen = tmp_path / "a.jsonl", 0
    for delay in (0.02, 0.05, 0.03):
        process = child(WRITER, path)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.kill()
        process.communicate()
        log = RecordLog(path)
        assert len(log) >= seen
        assert list(log.keys()) == [f"{n // 3}/{n % 3}" for n in range(len(log))]
        seen = len(log)
    assert seen > 3


def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from opdbench.errors import StoreError
        from opdbench.store import RecordLog, write_json_atomic
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        path = Path(sys.argv[1])
        write_json_atomic(path.with_name("b.json"), 1)
        log = RecordLog(path)
        for attempt in range(2):
            try:
                log.append([{"key": str(n), "text": "x" * 1000} for n in range(20)])
            except StoreError as error:
                print(error)
        try:
            write_json_atomic(path.with_name("b.json"), "x" * 20_000)
        except StoreError as error:
            print(error)
    """
    path = tmp_path / "a.jsonl"
    out, err = child(code, path).communicate(timeout=30)
    assert not err
    messages = out.splitlines()
    assert len(messages) == 3
    assert all("the disk is full" in message and "run the same command again" in message for message in messages)
    log = RecordLog(path)
    assert not log.damaged
    assert list(log.keys()) == [str(n) for n in range(9)]
    assert read_json(tmp_path / "b.json") == 1
    assert names(tmp_path) == ["a.jsonl", "b.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failing_fsync_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=os.strerror(number)):
        RecordLog(tmp_path / "a.jsonl").append(RECORDS)
    with pytest.raises(StoreError, match=os.strerror(number)):
        write_json_atomic(tmp_path / "b.json", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_real_full_file_system(tmp_path: Path) -> None:
    script = f"""
        set -e
        mount -t tmpfs -o size=64k none {tmp_path}
        {sys.executable} -c 'import sys; exec(sys.argv[1])' "$0"
    """
    code = f"""
from pathlib import Path
from opdbench.errors import StoreError
from opdbench.store import RecordLog
log = RecordLog(Path({str(tmp_path)!r}) / "a.jsonl")
try:
    for n in range(100):
        log.append([{{"key": str(n), "text": "x" * 2000}}])
except StoreError as error:
    print(error)
again = RecordLog(log.path)
print(len(again) == len(log) > 10, again.damaged)
"""
    command = ["unshare", "--mount", "bash", "-c", textwrap.dedent(script), code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "ermission" in done.stderr or "mount:" in done.stderr or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "the disk is full" in done.stdout, done.stderr
    assert done.stdout.endswith("True ()\n")


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


# ---------------------------------------------------------------------------------------- files, directories


def test_json_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    assert read_json(path) is None
    write_json_atomic(path, {"x": [1.5, "ü"]})
    assert read_json(path) == {"x": [1.5, "ü"]}
    path.write_text(path.read_text().replace("1.5", "1.6"))
    with pytest.raises(StoreError, match="checksum"):
        read_json(path)
    path.write_text('{"schema": 2}')
    with pytest.raises(StoreError, match="schema"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        read_json(path)


def _directory(path: Path, content: str) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "weights").write_text(content)
    return path


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    final = tmp_path / "final"
    replace_directory(_directory(tmp_path / "one", "1"), final)
    replace_directory(_directory(tmp_path / "two", "2"), final)
    assert (final / "sub" / "weights").read_text() == "2"
    assert names(tmp_path) == ["final"]


def test_a_directory_killed_between_its_two_renames_is_recovered(tmp_path: Path) -> None:
    final = tmp_path / "final"
    assert not recover_directory(final)
    _directory(tmp_path / "final.old", "1")
    assert recover_directory(final)
    assert (final / "sub" / "weights").read_text() == "1"
    _directory(tmp_path / "final.old", "0")
    assert recover_directory(final)
    assert names(tmp_path) == ["final"]


@pytest.mark.parametrize("killed_at", [0, 1])
def test_a_replacement_killed_at_either_rename_keeps_one_whole_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    final, calls, rename = _directory(tmp_path / "final", "1"), [], Path.rename

    def killed(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) > killed_at:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_directory(_directory(tmp_path / "two", "2"), final)
    monkeypatch.undo()
    assert recover_directory(final)
    assert (final / "sub" / "weights").read_text() == "1"
    _directory(tmp_path / "final.old", "0")
    replace_directory(tmp_path / "two", final)
    assert (final / "sub" / "weights").read_text() == "2"
    assert names(tmp_path) == ["final"]


# ------------------------------------------------------------------------------------------------- sealing


def test_pandas_reads_a_sealed_log(tmp_path: Path) -> None:
    import pandas as pd

    with CellStore(tmp_path).lock() as cell:
        cell.log("samples").append([*RECORDS, {"key": "t/10/0", "n": 2**70, "text": "\ud800", "only": True}])
        manifest = cell.seal("samples")
        assert cell.sealed("samples") == manifest
    frame = pd.read_parquet(tmp_path / "samples.parquet")
    assert list(frame["key"]) == ["t/0/0", "t/1/0", "t/2/0", "t/3/0", "t/10/0"]
    assert manifest.num_rows == 5
    assert json.loads(frame["deep"][0]) == {"a": [1, None]}
    assert frame["p"][3] == pytest.approx(0.3)
    assert frame["text"][0] == "ü0\n"
    assert json.loads(frame["n"][4]) == 2**70


def test_the_same_records_seal_to_the_same_file(tmp_path: Path) -> None:
    one, two = RecordLog(tmp_path / "1.jsonl"), RecordLog(tmp_path / "2.jsonl")
    one.append(RECORDS)
    two.append(RECORDS[2:])
    two.append(RECORDS)
    assert seal(one, tmp_path / "1.parquet") == seal(two, tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_sealed_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    assert sealed(target) is None
    log = RecordLog(tmp_path / "a.jsonl")
    log.append(RECORDS)
    seal(log, target)
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(StoreError, match="manifest"):
        sealed(target)


def test_an_empty_log_can_be_sealed(tmp_path: Path) -> None:
    assert seal(RecordLog(tmp_path / "a.jsonl"), tmp_path / "a.parquet").num_rows == 0


# --------------------------------------------------------------------------------------------------- names


ODD_NAMES = ["..", ".", "/", "a/../b", "CON", "nul.txt", "x" * 400, "x" * 401, "%2E", "~", "-rf"]
NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1) | st.sampled_from(ODD_NAMES)


@settings(max_examples=300, deadline=None)
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
