"""``opdbench eval``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from opdbench.cli import options, text
from opdbench.cli.from_samples import out_beside, out_scores, show_file
from opdbench.cli.progress import display
from opdbench.cli.run import stopped
from opdbench.cli.stopping import stoppable
from opdbench.records import Pool

if TYPE_CHECKING:
    from opdbench.runner import ModelReport

EVAL_EXAMPLES = options.examples(
    "opdbench eval package:opdbench_tasks/lab_models/student --tasks lab_add,lab_run --dtype float32 --max-tokens 64",
    "opdbench eval Qwen/Qwen3-0.6B --revision c1899de289a04d12100db370d81485cdf75e47ca --tasks math500 --k 4",
    "opdbench eval MODEL --tasks aime24,aime25 --protocol gopd     # `opdbench list protocols`",
    "opdbench eval --from-samples completions.jsonl --tasks lab_add --json",
    "Run the same command again to go on after a stop.",
)


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A directory, package:PKG/DIR, or a hub id (OWNER/NAME).", show_default=False)
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", metavar="A,B", help="Ids of tasks.", autocompletion=options.complete_task, show_default=False
        ),
    ] = None,
    from_samples: Annotated[
        Path | None,
        typer.Option(
            "--from-samples",
            metavar="FILE",
            help="Grade completions made elsewhere instead: JSONL with task, problem_id or question, sample and text, "
            "details of lighteval (parquet), or samples of lm-eval.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Settings of a paper where none is given here; `opdbench list protocols`.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Samples per problem.", show_default="the protocol's, or each task's own"),
    ] = None,
    pass_k: Annotated[
        str | None, typer.Option("--pass-k", metavar="K,K", help="Report pass@K too.", show_default="none")
    ] = None,
    pool: Annotated[Pool, typer.Option("--pool", help="Which problems.")] = "test",
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0.0, help="0 is greedy.", show_default="the protocol's, or 1.0")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0.0, max=1.0, help="Nucleus.", show_default="the protocol's, or 1.0"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=0, help="0 is off.", show_default="the protocol's, or 0")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="Longest completion.", show_default="the protocol's, or 4096"),
    ] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking",
            help="Told to the chat template (enable_thinking).",
            show_default="the protocol's, or the template's own",
        ),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option("--system-prompt", metavar="TEXT", help="System message.", show_default="the protocol's, or none"),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Samples drawn together: the most that a kill can lose.")
    ] = 32,
    engine: Annotated[str, typer.Option("--engine", help="What generates; `opdbench list engines`.")] = "hf",
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option("--dtype", help="Arithmetic.")] = "bfloat16",
    seed: Annotated[int, typer.Option("--seed", help="What sample seeds derive from.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where samples and grades go.", show_default="runs/eval/MODEL"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit of a hub id.", show_default="newest")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Accept weights that can execute code when loaded.")
    ] = False,
    as_json: options.Json = False,
    unsafe_exec: options.UnsafeExec = False,
    data_dir: options.DataDir = None,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate any checkpoint and print its scores. Ctrl-C stops without losing anything."""
    if from_samples is not None:
        if model is not None:
            raise typer.BadParameter("name a model or a file of samples, not both", param_hint="--from-samples")
        if protocol is not None:
            raise typer.BadParameter(
                "it says how samples are drawn, and those of a file are drawn already", param_hint="--protocol"
            )
        return show_file(from_samples, options.split(tasks), pool, k, _numbers(pass_k), as_json)
    if model is None or tasks is None:
        raise typer.BadParameter("name a model and --tasks, or --from-samples FILE")
    from opdbench.runner import Stop
    from opdbench.trainer import Interrupted
    from opdbench.verbs import samples

    stop, report = Stop(), None
    # Interrupted: said below, when the bars are gone.
    with display(quiet) as shown, stoppable(stop, shown.say), suppress(Interrupted):
        report = samples.evaluate(
            model,
            options.split(tasks),
            revision=revision,
            allow_pickle=allow_pickle,
            protocol=protocol,
            seed=seed,
            out=out,
            on_event=shown,
            stop=stop,
            k=k,
            pass_k=_numbers(pass_k),
            pool=pool,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            max_tokens=max_tokens,
            thinking=thinking,
            system_prompt=system_prompt,
            batch_size=batch_size,
            engine=engine,
            dtype=dtype,
        )
    if report is None:
        return stopped()
    return _show(report, model, as_json)


def _numbers(value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in options.split(value))
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no list of whole numbers, as in 1,8", param_hint="--pass-k") from None


def _show(report: ModelReport, model: str, as_json: bool) -> None:
    if as_json:
        text.out_json({"model": model, **_as_json(report)})
    else:
        out_scores(report.scores)
        out_beside(report.beside)
    if report.protocol is not None:
        for line in _about(report.protocol):
            text.note(line)
    text.note(f"samples and grades: {report.directory}; `opdbench show` prints them")
    if any(score.value is None for score in report.scores):
        text.note("some samples could not be graded, so their scores are undefined")
        raise typer.Exit(1)


def _as_json(report: ModelReport) -> dict[str, Any]:
    return {
        "directory": str(report.directory),
        "scores": [asdict(score) for score in report.scores],
        "beside": {task: asdict(item) for task, item in report.beside.items()},
        "prompt_hash": report.prompt_hash,
        "chat_template_hash": report.chat_template_hash,
        "protocol": report.protocol,
    }


def _about(protocol: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader must know of a protocol that was followed: deviations, then what it cannot promise."""
    yield f"protocol {protocol['id']} ({protocol['title']})" + ("" if protocol["deviations"] else ", no deviation")
    for item in protocol["deviations"]:
        yield f"  deviates: {item['setting']} of {item['task']} is {item['given']!r}, stated {item['stated']!r}"
    for note in protocol["notes"]:
        yield f"  note: {note}"
