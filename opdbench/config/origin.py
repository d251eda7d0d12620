"""Where the settings of a board came from, so that an error can point at the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opdbench.config.lines import Location, nearest_line
from opdbench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Origin:
    """The file of a board, the line of each key in it, and what ``--set`` put over it."""

    path: Path | None = None
    lines: Mapping[Location, int] = field(default_factory=dict[Location, int])
    overrides: Mapping[Location, str] = field(default_factory=dict[Location, str])

    def where(self, location: Location) -> str:
        """Return ``FILE:LINE: key.path``, or the override that set the key."""
        prefixes = (location[:length] for length in range(len(location), 0, -1))
        override = next((self.overrides[prefix] for prefix in prefixes if prefix in self.overrides), None)
        place = ""
        if override is not None:
            place = f"--set {override}: "
        elif self.path is not None:
            place = f"{self.path}:{nearest_line(self.lines, location)}: "
        return place + dotted(location)

    def error(self, location: Location, message: str) -> ConfigError:
        """Return the error that something is wrong at a location."""
        return ConfigError(f"{self.where(location)}: {message}" if location else f"{self.where(location)}{message}")


def dotted(location: Location) -> str:
    """Return a location as people write it: ``rows[2].method``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")
