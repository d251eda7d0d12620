"""More wrong solutions: they forge messages, change what runs around them, or answer with odd values.

``sandbox_attacks`` runs the functions with its own; ``test_forgeries`` runs the others through the graders.
"""

_FRAMES = "import sys\ndef frames():\n    f = sys._getframe()\n    while f:\n        yield f\n        f = f.f_back\n"
_SEND = (
    "import os, struct\ndef send(body, into=3):\n    os.write(into, struct.pack('>I', len(body)) + body)\n"
    'NEAR = b\'{"results": [["value", 6], ["value", 11]]}\'\n'
)

FUNCTIONS = {
    "arguments of later tests changed": (
        f"{_FRAMES}def f(x):\n    for frame in frames():\n        calls = frame.f_locals.get('calls')\n"
        "        if type(calls) is list:\n            for call in calls: call[:] = [3]\n    return 2 * x",
        "tests",
    ),
    "a thread that answers first": (
        f"{_SEND}import threading\nt = threading.Thread(target=send, args=(NEAR,))\nt.start(); t.join()\n"
        "def f(x): return 2 * x",
        "tests",
    ),
    "a signal that answers": (
        f"{_SEND}import signal\nsignal.signal(signal.SIGALRM, lambda *a: send(NEAR))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\ndef f(x):\n    while True: pass",
        "tests",
    ),
    "a child that answers": (
        "import os, time\ndef f(x):\n    if os.fork(): time.sleep(60)\n    return 0",
        "tests",
    ),
    "a frame on every descriptor": (
        f"{_SEND}for d in range(1024):\n    try: send(b'{{\"results\": [[\"value\", true], [\"value\", true]]}}', d)\n"
        "    except OSError: pass\ndef f(x): return 0",
        "tests",
    ),
    "the server's reply on every descriptor": (
        f"{_SEND}reply = b'{{\"how\": \"done\", \"exit_code\": 0, \"is_last\": false}}'\nfor d in range(1024):\n"
        "    for body in (reply, NEAR):\n        try: send(body, d)\n        except OSError: pass\ndef f(x): return 0",
        "invalid_output",
    ),
    "two keys of one name": (
        f"{_SEND}send(b'{{\"failed\": \"crash\", \"results\": [[\"value\", 6], [\"value\", 10]]}}')\nos._exit(0)",
        "crash",
    ),
    "a reason that is none": (
        f"{_SEND}send(b'{{\"results\": [[\"failed\", \"done\"], [\"failed\", \"correct\"]]}}')\nos._exit(0)",
        "invalid_output",
    ),
    "another encoding": (f"{_SEND}send(NEAR.decode().encode('utf-16'))\nos._exit(0)", "tests"),
    "numbers that JSON has not": (
        f"{_SEND}send(b'{{\"results\": [[\"value\", NaN], [\"value\", Infinity]]}}')\nos._exit(0)",
        "tests",
    ),
    "integers with one hash": (
        f"{_SEND}many = b','.join(b'%d' % (n * (2**61 - 1)) for n in range(300000))\n"
        "send(b'{\"results\": [[\"value\", {\"set\": [' + many + b']}], [\"value\", 0]]}')\nos._exit(0)",
        "invalid_output",
    ),
    "keys with one hash": (
        f"{_SEND}many = b','.join(b'[%d,0]' % (n * (2**61 - 1)) for n in range(250000))\n"
        "send(b'{\"results\": [[\"value\", {\"dict\": [' + many + b']}], [\"value\", 0]]}')\nos._exit(0)",
        "invalid_output",
    ),
    "the encoder replaced": (
        f"{_FRAMES}def f(x):\n    for frame in frames():\n        if 'encode' in frame.f_globals:\n"
        "            frame.f_globals['encode'] = lambda value: {'value': 6}\n    return 0",
        "invalid_output",
    ),
    "modules of the server changed": (
        "import sys\nfor name in list(sys.modules):\n    if 'opdbench' in name:\n"
        "        for part in list(vars(sys.modules[name])): setattr(sys.modules[name], part, lambda *a, **k: 6)\n"
        "def f(x): return 'six'",
        "tests",
    ),
    "a profiler that sets the value": (
        "import sys\ndef profile(frame, event, arg):\n    if 'value' in frame.f_locals: frame.f_locals['value'] = 6\n"
        "def f(x):\n    sys.setprofile(profile)",
        "tests",
    ),
    "a class that hides what it is": (
        "class M(type):\n    __eq__ = lambda *a: True\n    __hash__ = lambda c: hash(int)\n"
        "    __subclasscheck__ = lambda *a: True\nclass E(metaclass=M): pass\ndef f(x): return E()",
        None,
    ),
    "a subclass as the function": (
        "class f(int):\n    def __new__(cls, x): return int.__new__(cls, 2 * x)",
        "invalid_output",
    ),
    "a generator": ("def f(x):\n    yield 2 * x", "invalid_output"),
    "a coroutine": ("async def f(x): return 2 * x", "invalid_output"),
    "an array that is none": (
        "class A:\n    __array__ = __index__ = __int__ = lambda *a: 6\n    dtype, shape = 'int64', ()\n"
        "def f(x): return A()",
        "invalid_output",
    ),
    "a form of the protocol": ("def f(x): return {'int': hex(2 * x)}", "tests"),
    "a value that counts calls": ("n = 5\ndef f(x):\n    global n\n    n += 1\n    return n", "tests"),
    "a finaliser that takes its time": (
        "import time\nclass D:\n    def __del__(self): time.sleep(60)\ndef f(x):\n    D()\n    return 2 * x",
        "limit",
    ),
    "no recursion limit": (
        "import sys\nsys.setrecursionlimit(2**31 - 1)\ndef f(x):\n    v = 6\n    for _ in range(5000): v = [v]\n"
        "    return v",
        "invalid_output",
    ),
}  # fmt: skip

_ANSWER_ALL = (
    f"{_FRAMES}{_SEND}import json\n"
    "num = next(len(frame.f_locals['calls']) for frame in frames() if 'calls' in frame.f_locals)\n"
    "send(json.dumps({'results': [['value', {'tuple': PAIR}]] * num}).encode())\nos._exit(0)"
)


def answering(pair):
    """Return a program that answers every call of the runner in ``inside`` with a forged pair of kind and value."""
    return _ANSWER_ALL.replace("PAIR", pair)


READS_MEMORY = r"""
import ctypes, os, re, sys
libc, (reader, writer) = ctypes.CDLL(None), os.pipe()
libc.sbrk.restype = ctypes.c_void_p
def pages():
    around = [id(one) for one in (object(), b"x" * 2000, [0] * 100, sys._getframe(), bytearray(300000))]
    parts = {(place >> 21) + step for place in around for step in range(-8, 9)}
    parts.update(range((libc.sbrk(0) >> 21) - 32, (libc.sbrk(0) >> 21) + 1))
    for start in (place for part in sorted(parts) for place in range(part << 21, (part + 1) << 21, 4096)):
        if libc.write(writer, ctypes.c_void_p(start), ctypes.c_size_t(4096)) > 0:
            yield os.read(reader, 4096)
def found():
    memory = b"".join(pages())
    return sorted({part.decode() for part in re.findall(rb"left-behind-\d+", memory)})
def f(x): return found()
"""
"""Returns what a program before has left in the memory that it gets; a system call tells where there is any."""
