"""Data of benchmarks: hub data sets at a pinned commit, or a local copy of them, checked before a row is used."""

from opdbench.data.hub import UNPINNED, HubData
from opdbench.data.local import data_directory

__all__ = ["UNPINNED", "HubData", "data_directory"]
