"""IFBench, single turn: the 300 prompts of today, and the 294 of the first release that older papers report.

A sample is right when it follows every constraint of its prompt, judged loosely (the headline of its authors). All
prompts can be scored with the extra ``ifbench`` and three files of NLTK's data, brought by ``python -m nltk.downloader
punkt_tab averaged_perceptron_tagger_eng stopwords`` or copied to where ``NLTK_DATA`` points. Where one is lacking, the
prompts that need it are ungraded, which leaves the score undefined, and never wrong. The commit of the 294 prompts is
not known here, so only a local copy of them is read.
"""

from collections.abc import Mapping
from typing import Any

from opdbench.api import UNPINNED, DataError, HubData, Instructions, Problem, Task
from opdbench_tasks._shared import stated


def _settings(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what is set of a constraint's settings; parquet stores its counts as floats."""
    values = {name: value for name, value in (given or {}).items() if value is not None}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in values.items()
    }


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    given = [_settings(one) for one in row["kwargs"]]
    answer = {"instruction_id_list": list(row["instruction_id_list"]), "kwargs": given}
    return {"id": row["key"], "problem": row["prompt"], "answer": answer}


def _problem(row: Mapping[str, Any]) -> Problem:
    """Return the problem of a row: the prompt as it is, and what the response must follow."""
    if not isinstance(row["answer"], Mapping):
        raise DataError(f"column answer: constraints with their settings are expected, got {row['answer']!r:.60}")
    id, prompt = stated(row["id"], "id"), stated(row["problem"], "problem")
    return Problem(str(id), str(prompt), row["answer"], domain="instruction")


def _task(id: str, revision: str, num_rows: int, also: tuple[str, ...] = ()) -> Task:
    return Task(
        id=id,
        title=f"IFBench ({num_rows})",
        source=HubData(
            name=id,
            repo="allenai/IFBench_test",
            revision=revision,
            files=("data/train-*.parquet",),
            columns=("key", "prompt", "instruction_id_list", "kwargs"),
            num_rows=num_rows,
            plain=_plain,
            also=also,
        ),
        problem=_problem,
        grader=Instructions(),
        num_problems={"test": num_rows},
        k=1,
        version=1,
        licence="ODC-BY-1.0",
        released="2025-07-03",
        reference="https://huggingface.co/datasets/allenai/IFBench_test",
    )


IFBENCH = _task("ifbench", "2e8a48de45ff3bf41242f927254ca81b59ca3ae2", 300, ("IFBench_test.jsonl",))
IFBENCH_294 = _task("ifbench_294", UNPINNED, 294)
