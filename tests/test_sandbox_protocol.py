import json
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from opdbench.sandbox.outcome import MAX_VALUES, read_calls, read_program
from opdbench.sandbox.protocol import decode, encode, pack, unpack
from opdbench.sandbox.server import Reply

STATUSES = ("done", "invalid_output", "no_entry_point", "crash", "limit")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=100)
@given(PLAIN)
def test_values_survive_the_protocol(value):
    again = decode(unpack(pack(encode(value))))
    assert again == value
    assert type(again) is type(value)
    assert decode(json.loads(json.dumps(encode({1, 2})))) == {1, 2}


@settings(max_examples=100)
@given(st.binary(max_size=100), st.integers(0, 3))
def test_any_bytes_are_read_as_an_outcome(body, calls):
    frame = len(body).to_bytes(4, "big") + body
    assert read_calls(Reply("done", sent=frame), calls).status in STATUSES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "failed", "int", "tuple", "dict", "set", "bytes", "a"]), inner, max_size=2
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(JSON)
def test_any_json_is_read_as_an_outcome(message):
    for forged in (message, {"results": message}, {"results": [["value", message]]}, {"failed": message}):
        outcome = read_calls(Reply("done", sent=pack(forged)), 1)
        assert outcome.status in STATUSES
        assert len(outcome.results) == (outcome.status == "done")


def test_items_that_share_a_hash_are_few():
    """Powers of two do, and are read; a set made to take hours is not."""
    for value in ({2**n for n in range(3000)}, {2**n: n for n in range(3000)}, {n << 40 for n in range(10_000)}):
        assert decode(json.loads(json.dumps(encode(value)))) == value
    forged = [n * sys.hash_info.modulus for n in range(300_000)]
    for value in ({"set": forged}, {"frozenset": forged}, {"dict": [[n, 0] for n in forged]}):
        assert read_calls(Reply("done", sent=pack({"results": [["value", value]]})), 1).status == "invalid_output"


def test_short_values_are_read_up_to_a_number():
    """Ten megabytes of empty lists take half a gigabyte and five seconds to read."""
    for num, status in ((MAX_VALUES // 4, "done"), (MAX_VALUES + 1, "invalid_output")):
        body = b'{"results": [["value", [0' + b",[]" * num + b"]]]}"
        assert read_calls(Reply("done", sent=len(body).to_bytes(4, "big") + body), 1).status == status


def test_only_errors_of_memory_are_memory():
    ended = Reply("done", 1, sent=b"1\n", errors=b"Traceback\nMemoryError\n")
    assert read_program(ended).status == "memory"
    assert read_program(Reply("done", 0, sent=b"1\n", errors=ended.errors)).status == "done"
    assert read_program(Reply("done", 1, sent=b"1\n", errors=b"ValueError: MemoryError\n")).status == "done"
    assert read_program(Reply("crash", -9)).exit_code == -9
