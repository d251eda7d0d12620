"""The record log: what was written comes back, and what a crash or a flipped byte leaves is found and set aside."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_records import RECORDS, child, names

from opdbench.errors import StoreError
from opdbench.store import RecordLog
from opdbench.store.log import encode


def keys(path: Path) -> list[str]:
    return list(RecordLog(path).keys())


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def quick() -> Iterator[None]:
    """Leave fsync out where only the content of files is at stake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


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
