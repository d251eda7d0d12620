"""The lab board, as a template to start another from; the same file as ``leaderboards/lab/board.toml``."""

from importlib.resources import files

TEXT: str = files("opdbench_tasks").joinpath("lab_board.toml").read_text(encoding="utf-8")
