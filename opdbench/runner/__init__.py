"""Runs boards, evaluates single models, regrades and reads what is stored."""

from opdbench.runner.board import RunReport, Stop, board_results, board_runs, default_jobs, run_board
from opdbench.runner.cell import Event
from opdbench.runner.model import ModelQuestion, ModelReport, evaluate_model, plan_tasks
from opdbench.runner.stored import Change, Regraded, open_cell, regrade

__all__ = [
    "Change",
    "Event",
    "ModelQuestion",
    "ModelReport",
    "Regraded",
    "RunReport",
    "Stop",
    "board_results",
    "board_runs",
    "default_jobs",
    "evaluate_model",
    "open_cell",
    "plan_tasks",
    "regrade",
    "run_board",
]
