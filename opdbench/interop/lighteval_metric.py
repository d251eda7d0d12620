"""Our graders as a metric of lighteval, for exported tasks that it has none of its own for."""

from __future__ import annotations

import importlib
from typing import Any

from opdbench import registry
from opdbench.records import Pool, Sample
from opdbench.task import Task


def own_metric(id: str, pool: Pool, k: int) -> Any:
    """Return a metric of lighteval that is the share of a document's samples which our grader calls correct.

    Raises:
        PluginError: the task is not installed.
        DataError: its data are not here, or not those that were pinned.
        RuntimeError: while computing: a sample could not be graded, so there is no score.
    """
    samples: Any = importlib.import_module("lighteval.metrics.metrics_sample")
    utils: Any = importlib.import_module("lighteval.metrics.utils.metric_utils")
    method: Any = importlib.import_module("lighteval.tasks.requests").SamplingMethod.GENERATIVE
    task: Task = registry.load("tasks", id)
    problems = {problem.id: problem for problem in task.load(pool)}

    # Both bases: lighteval draws a single sample for a metric that is no SamplingMetric.
    class Share(samples.SamplingMetric, samples.SampleLevelComputation):
        def num_samples(self) -> int:
            return k

        def compute(self, doc: Any, model_response: Any, **_: Any) -> float:
            problem = problems[doc.specific["uid"]]
            drawn = [Sample(id, problem.id, i, 0, text, 0, "stop") for i, text in enumerate(model_response.text)]
            verdicts = [grade.verdict for grade in task.grader.grade([(problem, sample) for sample in drawn])]
            if len(verdicts) != k or "ungraded" in verdicts:
                raise RuntimeError(f"{id}/{problem.id}: {k} graded samples are needed, got {verdicts}")
            return verdicts.count("correct") / k

    numpy: Any = importlib.import_module("numpy")
    return utils.SampleLevelMetric(
        metric_name=f"opdbench_avg:n={k}",
        sample_level_fn=Share(),
        category=method,
        corpus_level_fn=numpy.mean,
        higher_is_better=True,
    )
