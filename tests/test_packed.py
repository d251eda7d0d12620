"""Packed tests are read without executing anything, whatever they hold."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import pickletools
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opdbench.data.packed import unpack_text
from opdbench.errors import DataError
from opdbench.graders.code_tests import Case, CodeTests, read_tests

PACKED = {"public_test_cases": '[{"input": "1", "output": "2"}]', "fn_name": None}


def packed(value: object, protocol: int = 4) -> str:
    return compressed(pickle.dumps(value, protocol))


def compressed(pickled: bytes) -> str:
    return base64.b64encode(zlib.compress(pickled)).decode()


class Payload:
    """Runs a command when it is loaded the usual way."""

    def __init__(self, reduced: tuple) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple:
        return self.reduced


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return "somewhere"


def persistent(value: object) -> bytes:
    import io

    file = io.BytesIO()
    Persistent(file).dump(value)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["", "[]", "é\n\x00", "x" * 100_000])
def test_a_string_comes_out(text: str, protocol: int) -> None:
    assert unpack_text(packed(text, protocol), "p") == text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_payload_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    for reduced in ((os.system, (f"touch {mark}",)), (eval, (f"open({str(mark)!r}, 'w')",)), (Path, (str(mark),))):
        data = packed(Payload(reduced), protocol)
        assert "REDUCE" in {code.name for code, _, _ in pickletools.genops(zlib.decompress(base64.b64decode(data)))}
        with pytest.raises(DataError, match=r"7/a: refused, its pickle is not one string: it holds .*nothing was exec"):
            unpack_text(data, "7/a")
        nested = packed(["[]", {"a": Payload(reduced)}], protocol)
        with pytest.raises(DataError, match="it holds"):
            unpack_text(nested, "7/a")
    assert not mark.exists()


def test_what_is_written_by_hand_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    by_hand = [
        f"cos\nsystem\n(S'touch {mark}'\ntR.",
        f"(S'touch {mark}'\nios\nsystem\n.",
        f"(cos\nsystem\nS'touch {mark}'\no.",
        "\x80\x02cbuiltins\nexec\n(V1\ntR0S'[]'\n.",
    ]
    for program in by_hand:
        with pytest.raises(DataError, match="it holds"):
            unpack_text(compressed(program.encode("latin-1")), "p")
    with pytest.raises(DataError, match="it holds BINPERSID"):
        unpack_text(compressed(persistent("[]")), "p")
    assert not mark.exists()


def test_a_pickle_cannot_ask_for_memory_or_time() -> None:
    """Loaded the usual way, the first takes 4 GB and the second a table of integers that all have one hash."""
    hash_one = [b"\x8a\x09" + (k * sys.hash_info.modulus).to_bytes(9, "little") for k in range(1, 100)]
    assert unpack_text(compressed(b"\x80\x04\x8c\x02[]r" + (1 << 28).to_bytes(4, "little") + b"."), "p") == "[]"
    with pytest.raises(DataError, match="it holds EMPTY_SET"):
        unpack_text(compressed(b"\x80\x04\x8f(" + b"".join(hash_one) + b"\x900\x8c\x02[]."), "p")
    with pytest.raises(DataError, match="it holds 2 strings"):
        unpack_text(compressed(b"\x80\x04\x8c\x01x\x8c\x02[]."), "p")


@pytest.mark.parametrize(
    ("value", "kind"), [(["[]"], "EMPTY_LIST"), (b"[]", "SHORT_BINBYTES"), (None, "NONE"), (1, "BININT1")]
)
def test_anything_but_a_string_is_refused(value: object, kind: str) -> None:
    with pytest.raises(DataError, match=f"refused, .* it holds {kind}"):
        unpack_text(packed(value), "p")


def test_bombs_and_damage_are_refused() -> None:
    bomb = packed("0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="more than 1000000 bytes"):
        unpack_text(bomb, "p", max_bytes=1_000_000)
    whole = packed("[]" * 100)
    raw = base64.b64decode(whole)
    for damaged in (raw[:-1], raw[: len(raw) // 2], b""):
        with pytest.raises(DataError, match=r"p: (is cut|cannot be unpacked)"):
            unpack_text(base64.b64encode(damaged).decode(), "p")
    for text in ("not base64!", whole[:-3], "AAAA", "é"):
        with pytest.raises(DataError, match="cannot be unpacked"):
            unpack_text(text, "p")
    with pytest.raises(DataError, match="not one string"):
        unpack_text(compressed(b"\x8c\xff"), "p")


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(unpack_text(compressed(data), "p"), str)


# --- tests in their published forms


def test_private_tests_are_json_or_packed() -> None:
    private = json.dumps([{"input": "3", "output": "4"}])
    wanted = CodeTests(None, (Case("1", ("2",)), Case("3", ("4",))))
    assert read_tests({**PACKED, "private_test_cases": private}, "p") == wanted
    assert read_tests({**PACKED, "private_test_cases": packed(private)}, "p") == wanted
    with pytest.raises(DataError, match="p: private_test_cases: refused"):
        read_tests({**PACKED, "private_test_cases": packed(Payload((os.system, ("true",))))}, "p")


def test_arguments_are_one_json_value_per_line() -> None:
    tests = [{"input": '[1, 2]\n"a"', "output": "[[1]]"}]
    target = {"public_test_cases": "[]", "private_test_cases": json.dumps(tests), "fn_name": "f"}
    assert read_tests(target, "p") == CodeTests("f", (Case([[1, 2], "a"], ([[1]],)),))


@pytest.mark.parametrize("as_text", [False, True])
def test_lists_of_inputs_and_outputs(as_text: bool) -> None:
    programs = {"inputs": ["1\n", ["a", "b"]], "outputs": ["2\n", ["c", "d"]]}
    functions = {"inputs": [[1, [2]], ["x"]], "outputs": [[3], "y"], "fn_name": "f"}
    found = [read_tests(json.dumps(form) if as_text else form, "p") for form in (programs, functions)]
    assert found[0] == CodeTests(None, (Case("1\n", ("2\n",)), Case("a\nb", ("c\nd",))))
    assert found[1] == CodeTests("f", (Case([1, [2]], ([3], 3)), Case(["x"], ("y",))))


@pytest.mark.parametrize(
    "target",
    [
        None,
        "no json",
        "[]",
        {},
        {"inputs": [], "outputs": []},
        {"inputs": ["1"], "outputs": []},
        {"inputs": ["1"], "outputs": ["2"], "fn_name": "a b"},
        {"inputs": ["{"], "outputs": ["2"], "fn_name": "f"},
        {**PACKED, "private_test_cases": "[{}]"},
        {**PACKED, "public_test_cases": "[]", "private_test_cases": "[]"},
        {**PACKED, "private_test_cases": packed("{")},
    ],
)
def test_a_problem_without_tests_has_none(target: object) -> None:
    assert read_tests(target, "p") is None
