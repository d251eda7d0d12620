"""Reads and checks a board file; writes a new one from a template."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from opdbench import registry
from opdbench.config.checks import check_board
from opdbench.config.explain import explain
from opdbench.config.lines import key_lines
from opdbench.config.origin import Origin
from opdbench.config.overrides import apply
from opdbench.config.settings import BoardConfig
from opdbench.errors import ConfigError

BOARD_FILE = "board.toml"


def load_board(path: Path | str, overrides: Sequence[str] = ()) -> BoardConfig:
    """Read a board from its file, or from the ``board.toml`` of its directory.

    Args:
        path: The file or the directory.
        overrides: ``a.b=c`` each, put over the file in order.

    Raises:
        ConfigError: the file cannot be read, or says something that cannot be run; the message names the line.
    """
    path = Path(path)
    file = path / BOARD_FILE if path.is_dir() else path
    data, text = _parsed(file)
    places = apply(data, overrides)
    origin = Origin(file, key_lines(text), places)
    if data.get("schema", 1) != 1:
        raise origin.error(("schema",), f"schema {data['schema']!r} is not 1, the one that this version reads")
    try:
        board = BoardConfig.model_validate(data).with_origin(origin)
    except ValidationError as error:
        raise explain(error, BoardConfig, origin) from None
    check_board(board)
    return board


def _parsed(file: Path) -> tuple[dict[str, Any], str]:
    try:
        text = file.read_text(encoding="utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist; `opdbench init DIR` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)", str(error))
        line = found[1] if found else text.count("\n") + 1
        message = re.sub(r" \(at [^)]*\)", "", str(error))
        raise ConfigError(f"{file}:{line}: this is not TOML: {message}") from None


def template(name: str = "lab") -> str:
    """Return the text of a board to start from: what a plug-in of kind ``boards`` holds as ``TEXT``.

    Raises:
        PluginError: there is no such template.
    """
    return registry.load("boards", name).TEXT


def write_template(directory: Path | str, name: str = "lab") -> Path:
    """Write ``board.toml`` into a directory, which is made where it does not exist; nothing is overwritten.

    Raises:
        ConfigError: there is a board already, or the directory cannot be written.
        PluginError: there is no such template.
    """
    file, text = Path(directory) / BOARD_FILE, template(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"{file} exists already; nothing was written") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error}") from None
    return file
