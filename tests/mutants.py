"""Small changes to programs: another operator, another constant, one more or one less."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.FloorDiv, ast.FloorDiv: ast.Div},
    **{ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In},
}


def mutants(code: str) -> Iterator[str]:
    """Yield programs that differ from ``code`` in one place each, in the order of these places."""
    tree = ast.parse(code)
    for position, node in enumerate(ast.walk(tree)):
        for number in range(_num_changes(node)):
            changed = copy.deepcopy(tree)
            _change(list(ast.walk(changed))[position], number)
            yield ast.unparse(changed)


def _num_changes(node: ast.AST) -> int:
    if isinstance(node, ast.Constant):
        return 1 if isinstance(node.value, bool) else 2 if isinstance(node.value, int | float) else 0
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        return int(type(node.op) in SWAPPED)
    if isinstance(node, ast.Compare):
        return int(type(node.ops[0]) in SWAPPED)
    return int(isinstance(node, ast.Return) and node.value is not None)


def _change(node: ast.AST, number: int) -> None:
    if isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + (1, -1)[number]
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        node.op = SWAPPED[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPPED[type(node.ops[0])]()
    elif isinstance(node, ast.Return):
        node.value = ast.Call(ast.Name("tuple", ast.Load()), [node.value], [])
        ast.fix_missing_locations(node)
