"""A lean interpreter that forks one process per program; started by ``server`` with an empty environment.

It has imported the standard modules that programs use and nothing else, so that a fork costs a millisecond and a
memory limit means the program's own memory. It knows no expected value. It reads one job per message from standard
input, with the program's bytes behind it, and answers with three: how the program ended, the bytes that it sent, and
the end of its errors. Those bytes never enter its heap, which all later programs get a copy of (``pages``).
"""

from __future__ import annotations

import gc
import importlib
import mmap
import os
import signal
import struct
import typing

from opdbench.sandbox import calibration, guard, kernel, layers, script
from opdbench.sandbox.clock import Clock
from opdbench.sandbox.collect import FrameSink, Running, Sink, TailSink, watch
from opdbench.sandbox.family import start_family
from opdbench.sandbox.pages import Pages, receive
from opdbench.sandbox.place import Place
from opdbench.sandbox.program import answer_calls, rehearse, silence
from opdbench.sandbox.protocol import FUNCTION, Limits, Plain, pack, read_message, write_all
from opdbench.sandbox.starting import settings_from

# What programs import most, loaded once. Each module makes every fork dearer; subprocess alone adds 0.4 ms.
PRELOADED = (
    "bisect collections copy datetime decimal fractions functools heapq itertools math operator re string typing"
)
_NUMBER = struct.Struct("i")
_ENDED_BY: dict[int, str] = {signal.SIGKILL: "killed", signal.SIGXCPU: "limit"}


class Watched(typing.NamedTuple):
    """How a program ended, the status of its first process, and the seconds that it used."""

    how: str
    status: int
    seconds: float


class Ended(typing.NamedTuple):
    """How a program ended, its exit code where it has one, its seconds, and what it sent."""

    how: str
    exit_code: int | None
    seconds: float
    sinks: list[Sink]


def main(values: tuple[Plain, ...]) -> script.Script:
    """Start a server and serve until standard input ends; returns only in the process of a program."""
    os.environ.clear()
    for name in PRELOADED.split():
        importlib.import_module(name)
    settings = settings_from(values)
    tier = guard.stand(settings)
    jobs, replies = os.dup(0), os.dup(1)
    stage = script.Stage()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel.refuse_tracing()
    rehearse()
    gc.freeze()
    gc.disable()
    return Server(tier, settings.root, jobs, stage).serve(replies)


class Server:
    """Runs one program at a time and leaves nothing of it behind."""

    def __init__(self, tier: str, root: str, jobs: int, stage: script.Stage) -> None:
        self._tier, self._jobs, self._stage = tier, jobs, stage
        self._family = start_family(is_first=tier != layers.UNSAFE)
        self._place = Place(tier, root)
        # A page that the program cannot reach: it says that the layers held and the program began, and its number.
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._held: list[str] = []

    def serve(self, replies: int) -> script.Script:
        """Answer jobs until they end; returns only in the process of a program."""
        self._probe()
        active = [*layers.TIERS[self._tier], *self._held]
        write_all(replies, pack({"layers": active, "loop_seconds": calibration.loop_seconds()}))
        self._place.make_ruleset()
        gc.freeze()
        while (job := read_message(self._jobs)) is not None:
            with receive(self._jobs, job["size"]) as body:
                ended = self._run(job, body)
            if isinstance(ended, script.Script):
                return ended
            if not self._reply(ended, replies):
                break
            self._place.make_ruleset()
        os._exit(0)

    def _reply(self, ended: Ended, replies: int) -> bool:
        """Send how a program ended, and say whether the server can go on."""
        is_clean = self._place.renew()
        reply = {"how": ended.how, "exit_code": ended.exit_code, "seconds": ended.seconds}
        write_all(replies, pack(reply | {"is_last": not is_clean, "num_frames": len(ended.sinks)}))
        for sink in ended.sinks:
            sink.send(replies)
            sink.give_back()
        return is_clean

    # One program

    def _run(self, job: dict[str, Plain], body: Pages) -> Ended | script.Script:
        limits = Limits(**job["limits"])
        if job["kind"] == FUNCTION:
            return self._run_function(body, limits)
        return self._run_script(body, job["source_size"], limits)

    def _run_function(self, body: Pages, limits: Limits) -> Ended:
        """Call the function of a program."""
        ready = self._ready(limits)
        reader, writer = os.pipe()
        child = self._fork()
        if child == 0:
            try:
                self._become_program(ready)
                descriptor = silence(writer)
                answer_calls(_taken(body), descriptor)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writer)
        sink = FrameSink(reader, limits.output_bytes)
        watched = self._watch(child, [sink], limits)
        if watched.how != "done":
            sink.forget()
        how = "crash" if watched.how == "ended" else watched.how
        return self._judge(Ended(how, None, watched.seconds, [sink]))

    def _run_script(self, body: Pages, source_size: int, limits: Limits) -> Ended | script.Script:
        """Run a program as a file."""
        ready = self._ready(limits)
        with body.view(0, source_size) as source, body.view(source_size) as stdin:
            self._place.write(source)
            given = script.input_file(stdin)
        (output, out), (errors, err) = os.pipe(), os.pipe()
        child = self._fork()
        if child == 0:
            self._become_program(ready)
            script.redirect((given, out, err))
            return self._stage.prepare(_taken(body)[:source_size], self._place.path)
        for descriptor in (given, out, err):
            os.close(descriptor)
        sinks = [Sink(output, limits.output_bytes), TailSink(errors)]
        watched = self._watch(child, sinks, limits)
        exit_code = os.waitstatus_to_exitcode(watched.status) if watched.how in ("ended", "killed") else None
        how = watched.how if watched.how != "ended" else "crash" if os.WIFSIGNALED(watched.status) else "done"
        return self._judge(Ended(how, exit_code, watched.seconds, sinks))

    def _judge(self, ended: Ended) -> Ended:
        """Report a program that never began because a layer failed; only the page can say so."""
        return ended if self._number() or ended.how in ("limit", "killed") else ended._replace(how="lost")

    def _number(self) -> int:
        """Return the program's process id as it sees it, 0 before it began."""
        return _NUMBER.unpack_from(self._page)[0]

    def _fork(self) -> int:
        _NUMBER.pack_into(self._page, 0, 0)
        child = self._family.fork()
        if child:
            self._place.close_ruleset()
        return child

    def _ready(self, limits: Limits) -> layers.Ready:
        return layers.Ready(layers.bounds(limits), self._place.ruleset)

    def _become_program(self, ready: layers.Ready) -> None:
        """Go through the layers; a layer that the probe has seen to hold and that fails now ends the process.

        Whoever calls this closes all descriptors but the program's own next, and so the ruleset's.
        """
        os.setsid()
        os.chdir(self._place.path)
        held = layers.apply(layers.INNER, ready)
        kernel.die_with_parent()  # after the layers, because a change of user withdraws it
        if held != self._held:
            os._exit(1)
        _NUMBER.pack_into(self._page, 0, os.getpid())
        self._page.close()
        gc.enable()

    def _watch(self, child: int, sinks: list[Sink], limits: Limits) -> Watched:
        """Return how a program ended; nothing of it is left then but what it sent."""
        running = Running(child, Clock(child, limits.seconds, self._is_single), self._family.end)
        try:
            how = watch(running, sinks, self._jobs)
        finally:
            status = running.end()
        for sink in sinks:
            os.close(sink.descriptor)
        if how == "ended" and os.WIFSIGNALED(status):
            how = _ENDED_BY.get(os.WTERMSIG(status), how)
        return Watched(how, status, running.clock.used)

    def _is_single(self) -> bool:
        return self._family.is_single(self._number())

    def _probe(self) -> None:
        """Find the inner layers that hold on this machine, and check that programs can import."""
        ready = self._ready(Limits())
        reader, writer = os.pipe()
        child = self._fork()
        if child == 0:
            os.chdir(self._place.path)
            held = layers.apply(layers.INNER, ready)
            importlib.import_module("colorsys")
            importlib.import_module("cmath")
            os.write(writer, " ".join(held).encode())
            os._exit(0)
        os.close(writer)
        if os.waitpid(child, 0)[1]:
            raise ChildProcessError("what looked for the layers has ended early: none of them is known to hold")
        self._held = os.read(reader, 1000).decode().split()
        os.close(reader)


def _taken(body: Pages) -> bytes:
    """Return what pages hold, in the heap of a program's own process, and give them back."""
    with body.view() as part:
        taken = bytes(part)
    body.give_back()
    return taken
