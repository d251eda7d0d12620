"""Reads text that a data set packed as base64(zlib(pickle(text))), without executing anything.

A pickle is a program: loading one that names a class or a function runs it, and even one that names nothing can ask
for any amount of memory in thirty bytes. LiveCodeBench packs the tests that it does not show in prompts this way. Here
its instructions are read and never run, and nothing but a string of bounded size ever comes out.
"""

from __future__ import annotations

import base64
import binascii
import io
import pickletools
import zlib

from opdbench.errors import DataError

MAX_UNPACKED = 1 << 30
"""Bytes of one problem's tests once unpacked; the largest of LiveCodeBench's are some hundred megabytes."""
_ADVICE = "nothing was executed; fetch the data again from the pinned revision"
_TEXT = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_AROUND_TEXT = frozenset({"PROTO", "FRAME", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "STOP"})
"""What writers of pickles put around a string: it changes nothing."""


def unpack_text(packed: str, where: str, max_bytes: int = MAX_UNPACKED) -> str:
    """Return the packed text.

    Args:
        packed: base64(zlib(pickle(text))).
        where: Names the field, for the message of an error.
        max_bytes: Bytes that it may have once unpacked.

    Raises:
        DataError: it is damaged, too large, or a pickle of anything else than one string.
    """
    pickled = _decompress(packed, where, max_bytes)
    try:
        return _only_text(pickled)
    except Exception as error:  # nobody lists what bytes made by hand raise in pickletools; none of it runs
        raise DataError(f"{where}: refused, its pickle is not one string: {error}; {_ADVICE}") from error


def _only_text(pickled: bytes) -> str:
    """Return the only string of a pickle that holds nothing else.

    Raises:
        ValueError: it holds something else, or is damaged.
    """
    texts: list[str] = []
    for instruction, argument, _ in pickletools.genops(io.BytesIO(pickled)):
        if instruction.name in _TEXT:
            texts.append(str(argument))
        elif instruction.name not in _AROUND_TEXT:
            raise ValueError(f"it holds {instruction.name}")
    if len(texts) != 1:
        raise ValueError(f"it holds {len(texts)} strings")
    return texts[0]


def _decompress(packed: str, where: str, max_bytes: int) -> bytes:
    """Return the bytes of base64(zlib(..)), no more than ``max_bytes``."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(base64.b64decode(packed, validate=True), max_bytes + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise DataError(f"{where}: cannot be unpacked: {error}; {_ADVICE}") from error
    if len(data) > max_bytes:
        raise DataError(f"{where}: refused, it unpacks to more than {max_bytes} bytes; {_ADVICE}")
    if not stream.eof:
        raise DataError(f"{where}: is cut before its end; {_ADVICE}")
    return data
