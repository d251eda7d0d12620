"""The data of a benchmark: formats, counts, hashes, copies, caches and hosts; each mistake is one message."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_tasks import COUNTS, FIXTURES, TARGETS, Found, named, reduced

from opdbench.data import UNPINNED, HubData, github, hub
from opdbench.data.cache import write_whole
from opdbench.errors import DataError, MissingDataError
from opdbench.task import Task

HUB_SNAPSHOT = HubData._hub_snapshot


pytestmark = pytest.mark.usefixtures("offline")


@pytest.mark.parametrize("id", TARGETS)
@pytest.mark.usefixtures("fixtures")
def test_another_number_of_rows_is_refused(id: str) -> None:
    with pytest.raises(DataError, match=rf"{named(id).source.num_rows} rows expected .*, got {COUNTS[id][0]}"):
        named(id).load("test")


@pytest.mark.parametrize("id", TARGETS)
def test_another_schema_is_refused(id: str, local: Path) -> None:
    (local / f"{id}.jsonl").write_text('{"id": 1, "text": "?"}\n')
    with pytest.raises(DataError, match=r"columns .* expected \(or id, problem, answer\), got id, text"):
        named(id).load("test")


@pytest.mark.parametrize("id", TARGETS)
def test_the_plain_form_is_read(id: str, local: Path) -> None:
    answer = "B" if named(id).source.name in ("arc_c", "gpqa_diamond", "mmlu_pro", "mmlu_redux") else "12"
    if id.startswith("ifbench"):
        answer = {"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 3}]}
    row = {"id": "a", "problem": "Made up?", "answer": answer}
    (local / f"{id}.jsonl").write_text(json.dumps(row) + "\n")
    source = replace(named(id).source, num_rows=1)
    (problem,) = replace(named(id), source=source, num_problems={"test": 1}).load("test")
    assert (problem.id, problem.prompt, problem.target) == ("a", "Made up?", answer)
    with pytest.raises(DataError, match=r"expected.*, got 1"):
        named(id).load("test")


def test_a_file_with_another_hash_is_refused(local: Path) -> None:
    task = named("minerva")
    file = local / "minerva" / task.source.files[0]
    file.parent.mkdir(parents=True)
    shutil.copy(FIXTURES / "minerva.jsonl", file)
    with pytest.raises(DataError, match=r"sha256 0e656b430d.* expected at a45202bd"):
        reduced(task).load("test")


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_file_is_an_error_that_names_it(content: str, local: Path) -> None:
    (local / "aime24.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"aime24\.jsonl"):
        named("aime24").load("test")


def test_parquet_and_arrow_are_read(local: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    for id, folder in (("aime24", "aime24/data"), ("mmlu_redux", "mmlu_redux/anatomy")):
        rows = [json.loads(line) for line in (FIXTURES / f"{id}.jsonl").read_text().splitlines()]
        table, path = arrow.Table.from_pylist(rows), local / folder
        path.mkdir(parents=True)
        if id == "aime24":
            parquet.write_table(table, path / "train-00000-of-00001.parquet")
        else:
            with arrow.ipc.new_stream(str(path / "data-00000-of-00001.arrow"), table.schema) as file:
                file.write_table(table)
        assert len(reduced(named(id)).load("test")) == COUNTS[id][1]


def test_ifbench_is_read_under_its_authors_name_too(local: Path) -> None:
    shutil.copy(FIXTURES / "ifbench.jsonl", local / "IFBench_test.jsonl")
    assert len(reduced(named("ifbench")).load("test")) == COUNTS["ifbench"][1]
    with pytest.raises(MissingDataError):
        reduced(named("ifbench_294")).load("test")
    (local / "ifbench.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"ifbench\.jsonl: columns"):
        reduced(named("ifbench")).load("test")


def test_two_copies_are_refused(local: Path) -> None:
    for suffix in ("jsonl", "json"):
        shutil.copy(FIXTURES / "aime24.jsonl", local / f"aime24.{suffix}")
    with pytest.raises(DataError, match="more than once"):
        named("aime24").load("test")


@pytest.mark.parametrize("id", TARGETS)
@pytest.mark.usefixtures("local")
def test_offline_the_file_and_the_command_are_named(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    source = named(id).source
    with pytest.raises(MissingDataError) as caught:
        named(id).load("test")
    said = str(caught.value)
    assert source.files[0] in said
    assert f"{id}.jsonl" in said
    assert ("never downloaded" if source.revision == UNPINNED else f"opdbench fetch {id}") in said


def test_a_data_directory_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPDBENCH_DATA", "/nowhere/at/all")
    with pytest.raises(DataError, match="no such directory"):
        named("aime24").load("test")


def test_the_cache_of_the_hub_is_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPDBENCH_DATA", raising=False)
    monkeypatch.setattr(HubData, "_hub_snapshot", HUB_SNAPSHOT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    task = reduced(named("aime25"))
    with pytest.raises(DataError, match="opdbench fetch aime25"):
        task.load("test")
    snapshot = tmp_path / "datasets--math-ai--aime25" / "snapshots" / task.source.revision
    snapshot.mkdir(parents=True)
    shutil.copy(FIXTURES / "aime25.jsonl", snapshot / "test.jsonl")
    assert len(task.load("test")) == 2
    assert task.source.fetch() == snapshot


@pytest.mark.parametrize("id", ["gsm8k", "minerva"])
def test_a_host_that_is_not_reached_is_an_error_that_says_so(
    id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused") if id == "gsm8k" else OSError("refused")

    monkeypatch.delenv("OPDBENCH_DATA", raising=False)
    monkeypatch.setattr(HubData, "_cached", lambda self: [])
    monkeypatch.setattr(HubData, "_hub_snapshot", HUB_SNAPSHOT)
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(github, "_read", refuse)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(DataError, match=rf"refused.*opdbench fetch {id}"):
        named(id).load("test")


def test_github_files_are_cached_whole_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (FIXTURES / "minerva.jsonl").read_bytes()
    monkeypatch.delenv("OPDBENCH_DATA", raising=False)
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(github, "_read", lambda url: data)
    task = reduced(named("minerva"))
    with pytest.raises(DataError, match="sha256"):
        task.load("test")
    monkeypatch.setattr(HubData, "_check_hash", lambda self, path: None)
    file = task.source.files[0]
    monkeypatch.setattr(github, "download_files", _without_hash(file, data))
    assert len(task.load("test")) == 2
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    assert len(task.load("test")) == 2


def _without_hash(file: str, data: bytes):
    def download(repo: str, revision: str, files: object, sha256: object, kind: str) -> list[Path]:
        path = github.cache_folder(repo, revision) / file
        write_whole(path, data)
        return [path]

    return download


def test_fetch_reads_what_it_fetched(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opdbench.verbs import data

    class Found:
        def __init__(self, id: str) -> None:
            self.id = id

        def load(self) -> Task:
            return reduced(named(self.id)) if self.id == "aime24" else named(self.id)

    monkeypatch.setattr(data.registry, "find", lambda kind, id: Found(id))
    good, bad = data.fetch(["aime24", "gsm8k"])
    assert (good.num_problems, good.error, good.directory) == (3, None, str(fixtures))
    assert "1319 rows expected" in str(bad.error)
    with pytest.raises(DataError, match="--all"):
        list(data.fetch([]))


def test_what_has_no_pinned_commit_is_not_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from opdbench.verbs import data

    monkeypatch.setattr(data.registry, "available", lambda kind: {id: Found(id) for id in ("aime24", "amo_bench")})
    assert data.downloadable() == ["aime24"]
