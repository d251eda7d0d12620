"""A board becomes a Plan of cells: pure, without GPU, network or torch.

A cell holds everything that training and evaluation will be told, and its key says which question it is.
"""

from opdbench.plan.build import make_plan
from opdbench.plan.cell import Cell, PlannedModel, PlannedTask
from opdbench.plan.plan import CellState, Plan, StoreView

__all__ = ["Cell", "CellState", "Plan", "PlannedModel", "PlannedTask", "StoreView", "make_plan"]
