"""Honest programs that read and write in every way that solutions to contest problems do."""

import sys

LINES = "3\n10 20 30\nabc déf\n\n-1 2\n"

_FLUSH = "import atexit\natexit.register(lambda: print('exit function'))\n"

PROGRAMS = {
    "input()": "n = int(input())\nprint(n, sum(map(int, input().split())))\n",
    "input() until the end": "while True:\n    try: print(len(input()))\n    except EOFError: break\n",
    "input() with a prompt": "print(input('give: '))\n",
    "input() past the end": "while True: print(input())\n",
    "sys.stdin.read()": "import sys\nprint(sys.stdin.read().split())\n",
    "sys.stdin.readline()": "import sys\nprint(repr(sys.stdin.readline()), repr(sys.stdin.readline()))\n",
    "sys.stdin.readline() until the end": (
        "import sys\nline = sys.stdin.readline()\nwhile line:\n    print(repr(line))\n    line = sys.stdin.readline()\n"
    ),
    "sys.stdin.readlines()": "import sys\nprint(sys.stdin.readlines()[-1])\n",
    "sys.stdin.read(5)": "import sys\nprint(repr(sys.stdin.read(5)), repr(sys.stdin.read(1)))\n",
    "for line in sys.stdin": "import sys\nfor line in sys.stdin: print(line.rstrip()[::-1])\n",
    "input bound to readline": "import sys\ninput = sys.stdin.readline\nprint(int(input()) + 1, input().split())\n",
    "iter(input, '')": "print(list(iter(input, '')))\n",
    "sys.stdin.buffer.read()": "import sys\nprint(sys.stdin.buffer.read())\n",
    "sys.stdin.buffer.readline() twice": "import sys\nr = sys.stdin.buffer.readline\nprint(r(), r())\n",
    "sys.stdin.buffer.readlines()": "import sys\nprint(sys.stdin.buffer.readlines())\n",
    "for line in sys.stdin.buffer": "import sys\nfor line in sys.stdin.buffer: print(line)\n",
    "buffered bytes as text": (
        "import io, os, sys\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\n"
        "print(int(input()), input())\n"
    ),
    "open(0)": "n, *rest = open(0).read().split()\nprint(n, rest)\n",
    "open(0, 'rb')": "print(open(0, 'rb').read())\n",
    "open('/dev/null')": "print(repr(open('/dev/null').read()))\n",
    "os.read(0)": "import os\nprint(os.read(0, 7))\n",
    "os.fdopen(0)": "import os\nprint(os.fdopen(0).readlines())\n",
    "fileinput": "import fileinput\nfor line in fileinput.input(): print(fileinput.lineno(), line, end='')\n",
    "select": (
        "import select, sys\n"
        "print(select.select([sys.stdin], [], [], 0)[0] == [sys.stdin], sys.stdin.isatty())\n"
    ),
    "names and modes of streams": (
        "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__):\n"
        "    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.fileno(), s.buffer.raw.name, s.newlines)\n"
    ),
    "sys.stdout.write": "import sys\nprint(sys.stdout.write('a\\nb'))\n",
    "sys.stdout.writelines": "import sys\nsys.stdout.writelines(f'{i}\\n' for i in range(3))\n",
    "sys.stdout.buffer.write": "import sys\nsys.stdout.buffer.write(b'\\xff\\x00a')\nsys.stdout.flush()\n",
    "text and bytes in order": (
        "import sys\nprint('a', flush=True)\nsys.stdout.buffer.write(b'b\\n')\nsys.stdout.buffer.flush()\nprint('c')\n"
    ),
    "os.write(1)": "import os\nprint('second')\nos.write(1, b'first\\n')\n",
    "open(1, 'w') never closed": "out = open(1, 'w')\nout.write('still here')\n",
    "print with a file, end and sep": (
        "import sys\nprint(1, 2, sep='-', end='!', file=sys.stdout)\n"
        "print(file=sys.stderr)\n"
    ),
    "print rebound": "from functools import partial\nprint = partial(print, end=';')\nprint(1)\nprint(2)\n",
    "redirect_stdout": (
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as s: print('x')\nprint(s.getvalue())\n"
    ),
    "a new sys.stdout": (
        "import io, sys\nold, sys.stdout = sys.stdout, io.StringIO()\nprint(5)\n"
        "old.write(sys.stdout.getvalue())\nsys.stdout = old\n"
    ),
    "half a megabyte": "for i in range(50000): print(i)\n",
    "both streams full": (
        "import sys\nfor i in range(3000):\n    print('o' * 50)\n    print('e' * 50, file=sys.stderr)\nprint('end')\n"
    ),
    "accents and lone surrogates": "s = input() + input() + input()\nprint(s, ascii(s), '\\udcff')\n",
    "from __future__": (
        '"""Text first."""\nfrom __future__ import annotations\ndef f(x: nowhere) -> there: return x\n'
        "print(f(1), __doc__, f.__annotations__)\n"
    ),
    "a coding line": "# -*- coding: latin-1 -*-\nprint(len('é'))\n",
    "globals at the top": (
        "count = 0\ndef add():\n    global count\n    count += 1\nadd(); add()\n"
        "print(count, __name__)\n"
    ),
    "a main guard": "def main():\n    print(input())\nif __name__ == '__main__':\n    main()\n",
    "names of the module": (
        "import __main__, os, sys\n"
        "print(sorted(n for n in globals()), __main__.os is os, __spec__)\n"
        "base = os.path.basename\nprint(base(__file__), list(map(base, sys.argv)), sys.modules[__name__] is __main__)\n"
    ),
    "its own file": "print(open(__file__).read())\n",
    "files in the folder": (
        "import json, os\nwith open('a.json', 'w') as f: json.dump([1], f)\n"
        "print(json.load(open('a.json')), os.getcwd() != '')\n"
    ),
    "a module in the folder": "open('helper.py', 'w').write('x = 7')\nimport helper\nprint(helper.x)\n",
    "temporary files": (
        "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x'); f.seek(0)\n"
        "    print(f.read())\n"
    ),
    "exit()": "print('a')\nexit()\nprint('b')\n",
    "quit() with a code": "print('a')\nquit(7)\n",
    "sys.exit with text": "import sys\nprint('a')\nsys.exit('why')\n",
    "raise SystemExit": "raise SystemExit(300)\n",
    "os._exit": "import os\nprint('lost')\nos._exit(0)\n",
    "os._exit after a flush": "import os\nprint('kept', flush=True)\nos._exit(4)\n",
    "an uncaught error": "print('a')\nraise ValueError('b')\n",
    "a syntax error": "print('a')\nprint(\n",
    "a null byte": "print('a')\n\0\n",
    "an interrupt": "print('a')\nraise KeyboardInterrupt\n",
    "a signal": "import os, signal\nprint('a', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\nprint('b')\n",
    "an abort": "import os\nprint('lost')\nos.abort()\n",
    "an alarm": "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(9)\n",
    "a handled alarm": (
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *a: print('ring'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.02)\ntime.sleep(0.1)\n"
    ),
    "exit functions": f"{_FLUSH}print('first')\n",
    "an exit function after an error": f"{_FLUSH}1 / 0\n",
    "an excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\n1 / 0\n",
    "__del__ at the end": "class D:\n    def __del__(self): print('deleted')\nd = D()\nprint('end')\n",
    "a closed standard output": "import sys\nprint('a')\nsys.stdout.close()\n",
    "deep recursion": (
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(64 << 20)\n"
        "def depth(n): return 0 if n == 0 else 1 + depth(n - 1)\n"
        "t = threading.Thread(target=lambda: print(depth(50000)))\nt.start(); t.join()\n"
    ),
    "too deep recursion": "def f(n): return f(n + 1)\ntry: f(0)\nexcept RecursionError: print('caught')\n",
    "a thread that is not joined": (
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()\nprint('soon')\n"
    ),
    "a daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\nprint('soon')\n"
    ),
    "a pool of threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: print(list(pool.map(abs, [-1, -2])))\n"
    ),
    "asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0.01); return 5\nprint(asyncio.run(f()))\n",
    "a fork": "import os\nif os.fork() == 0:\n    os._exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))\n",
    "a pipe": "import os\nr, w = os.pipe()\nos.write(w, b'x')\nprint(os.read(r, 1))\n",
    "multiprocessing": (
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n"
    ),
    "the standard library": (
        "import bisect, collections, decimal, fractions, functools, heapq, itertools, math, re, statistics\n"
        "import array, cmath, copy, dataclasses, datetime, enum, hashlib, json, queue, zlib, sqlite3, ssl\n"
        "print(math.comb(5, 2), decimal.Decimal('0.1') + 1, statistics.mean([1, 2]), hashlib.md5(b'a').hexdigest())\n"
    ),
    "the order of a set": "print({'a', 'b', 'c', 'd'}, hash('abc'))\n",
    "a class with slots, a dataclass, a match": (
        "from dataclasses import dataclass\n@dataclass(frozen=True, slots=True)\nclass P:\n    x: int\n"
        "match P(3):\n    case P(x): print(x, P(3))\n"
    ),
    "pickle of its own class": (
        "import pickle\nclass C:\n    x = 1\nprint(pickle.loads(pickle.dumps(C())).x, C.__module__, C.__qualname__)\n"
    ),
    "eval and exec": "exec('y = 5')\nprint(y, eval('y + 1'), sorted(locals()) == sorted(globals()))\n",
    "a walrus at the end of input": "import sys\nwhile line := sys.stdin.readline(): print(line.split())\n",
    "nothing": "",
}  # fmt: skip

_DELETED = "class D:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('deleted', self.n)\n"

ENDINGS = {
    "objects deleted in order": f"{_DELETED}a, b, _c = D(1), D(2), D(3)\ndef f(): return a\nprint('end')\n",
    "a cycle": f"{_DELETED}a, b = D(1), D(2)\na.other, b.other = b, a\nprint('end')\n",
    "an object of another module": (
        "open('helper.py', 'w').write('class D:\\n    def __del__(self): print(5)\\nd = D()\\n')\n"
        "import helper\nprint('end')\n"
    ),
    "an object that a built-in module holds": (
        f"{_DELETED}import sys, colorsys\nsys.kept = D(1)\ncolorsys.kept = D(2)\n"
        "print(3)\n"
    ),
    "a name that is gone at the end": (
        "limit = 3\nclass D:\n    def __del__(self): print(limit)\nd = D()\ndef f(): return d\nd.own = d\n"
        "print('end')\n"
    ),
    "a generator at the end": (
        "def g():\n    try: yield 1\n    finally: print('closed')\nx = g()\nnext(x)\nprint('end')\n"
    ),
    "a finaliser without a dictionary": (
        "class D:\n    __slots__ = ()\n    def __del__(self): print('deleted')\nd = D()\nprint('end')\n"
    ),
    "a finaliser by inheritance": f"{_DELETED}class E(D): pass\nkept = [E(1)]\nprint('end')\n",
    "a metaclass that hides a finaliser": (
        "class M(type):\n    def __getattribute__(cls, name):\n        if name == '__del__': raise AttributeError\n"
        "        return super().__getattribute__(name)\n"
        "class D(metaclass=M):\n    def __del__(self): print('deleted')\nd = D()\nprint('end')\n"
    ),
    "a finaliser that is found late": (
        "class D: pass\nd = D()\nD.__del__ = lambda self: print('deleted')\nprint('end')\n"
    ),
    "a weak reference that is told": (
        "import weakref\nclass C: pass\nc = C()\nr = weakref.ref(c, lambda _: print('gone'))\nprint('end')\n"
    ),
    "a dictionary of weak references": (
        "import weakref\nclass C: pass\nc, d = C(), weakref.WeakValueDictionary()\nd[1] = c\nprint('end')\n"
    ),
    "a coroutine at the end": (
        "async def f():\n    try: await g()\n    finally: print('closed')\n"
        "class A:\n    def __await__(self): yield\nasync def g(): await A()\nc = f()\nc.send(None)\nprint('end')\n"
    ),
    "a file that is not closed": "f = open(1, 'w', closefd=False)\nprint('end', flush=True)\nf.write('late\\n')\n",
    "many objects": (
        "class P:\n    def __init__(self, n): self.n = [n]\nx = [P(n) for n in range(20000)]\nprint(len(x))\n"
    ),
    "weakref.finalize": "import weakref\nclass C: pass\nc = C()\nweakref.finalize(c, print, 'final')\nprint('end')\n",
    "a text stream of its own": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(open(1, 'wb', closefd=False), write_through=False)\n"
        "print('kept')\n"
    ),
    "a writer in a module": (
        "open('fast.py', 'w').write('out = open(1, \"w\")\\nwrite = out.write\\n')\nfrom fast import write\n"
        "write('late\\n')\n"
    ),
    "logging": "import logging\nlogging.basicConfig(filename='log')\nlogging.warning('x')\nprint(open('log').read())\n",
    "exit code 256": "import sys\nsys.exit(256)\n",
    "exit code -1": "import sys\nsys.exit(-1)\n",
    "exit code True": "import sys\nsys.exit(True)\n",
    "exit in an exit function": "import atexit, sys\natexit.register(sys.exit, 5)\nprint('end')\n",
    "an error in an exit function": "import atexit\natexit.register(lambda: 1 / 0)\nprint('end')\n",
    "exit functions cleared": "import atexit\natexit.register(print, 'no')\natexit._clear()\nprint('end')\n",
    "exit in an excepthook": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0\n",
    "exit in a thread": "import sys, threading\nthreading.Thread(target=sys.exit, args=(3,)).start()\nprint('end')\n",
    "an error in a thread": "import threading\nthreading.Thread(target=lambda: 1 / 0).start()\nprint('end')\n",
    "exit in a child": (
        "import os, sys\nif os.fork() == 0: sys.exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    ),
    "a closed descriptor": "import os\nprint('lost')\nos.close(1)\n",
    "a standard output that is None": "import sys\nprint('a', flush=True)\nsys.stdout = None\nprint('b')\n",
    "a full descriptor": "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('lost')\n",
    "a base exception": "class B(BaseException): pass\nprint('a')\nraise B\n",
    "a warning": "import warnings\nwarnings.warn('x')\nprint('end')\n",
}  # fmt: skip
PROGRAMS |= ENDINGS
if sys.version_info < (3, 11, 4):  # there Python reads a file up to its null byte; docs/sandbox.md names the difference
    del PROGRAMS["a null byte"]

INPUTS = {"a null byte": "", "nothing": ""}


def stdin_of(name):
    """Return the input of a program."""
    return INPUTS.get(name, LINES)
