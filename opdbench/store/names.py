"""Names that come from data (model ids, tasks, rows) as file names that stay inside their directory."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from opdbench.errors import StoreError

MAX_BYTES = 150
_PLAIN = re.compile(rb"[A-Za-z0-9._-]")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")


def safe_name(text: str) -> str:
    """Return a file name for any text: letters, digits, ``._-`` stay, all else becomes ``%XX``; long names are hashed.

    Different texts give different names, and none of them is hidden, leaves its directory or names a device.

    Raises:
        StoreError: the text is empty or holds a NUL.
    """
    if not text or "\0" in text:
        raise StoreError(f"{text!r} cannot name a file")
    data = text.encode("utf-8", "surrogatepass")
    name = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"%{byte:02X}" for byte in data)
    if name.startswith(".") or _DEVICES.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith("."):
        name = f"{name[:-1]}%2E"
    if len(name) > MAX_BYTES:
        digest = hashlib.sha256(data).hexdigest()[:32]
        name = f"{name[: MAX_BYTES - len(digest) - 1]}%{digest}"
    return name


def inside(root: Path, path: Path) -> Path:
    """Return a path, having checked that no symbolic link leads it out of its root.

    Raises:
        StoreError: it lies outside.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise StoreError(f"{path} leads out of {root}; remove the symbolic link")
    return path
