"""A plugin that blocks the event loop is named, and in the end the process gives itself up."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from nanokimi_core.watchdog import HUNG, Watchdog, _Clock
from testbed.site import Site

LONGEST = 120
HOST = """
import logging, sys
from functools import partial
from logging import LoggerAdapter
from pathlib import Path
import anyio
import hog, good
from nanokimi_core import logs
from nanokimi_core.contracts.plugin import NoConfig
from nanokimi_core.hookspecs import Spec
from nanokimi_core.instances import Instance, InstanceContext
from nanokimi_core.plugins import Plugin, Provided
from nanokimi_core.supervision import guarded
from nanokimi_core.watchdog import Watchdog

sys.setswitchinterval(0.0002)  # coverage saves its data in many small steps, beside a thread that computes
where, hang_limit, warn_after = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
logs.set_up()

async def tell(key, text): ...

def instance(name, kind, create, module):
    plugin = Plugin(module.__name__, f"nanokimi-{module.__name__}", "1.0", lambda: module)
    context = InstanceContext(name, "Kai", Path(), logs.instance_log(name), "here", tell)
    return Instance(name, kind, Provided(kind, Spec(module.__name__, create), plugin), NoConfig(), context)

net = instance("work", "transport", partial(hog.Net, where), hog)
brain = instance("hog", "backend", partial(hog.Brain, where), hog)
calm = instance("good", "transport", good.Net, good)

async def main():
    last = lambda: print("last words", flush=True)
    limits = {"hang_limit": hang_limit, "warn_after": warn_after, "tick": 0.1}
    async with Watchdog([calm, net, brain], **limits, last_words=last) as watchdog:
        async with anyio.create_task_group() as tasks:
            for each in (calm, brain):
                await tasks.start(each.live, None)
            await tasks.start(net.live, lambda value: value.run(None))
            if where == "core":
                __import__("time").sleep(hang_limit * 3)
            if where == "swallow":
                watchdog.stop_within(1)
                tasks.cancel_scope.cancel()
            if where == "send":
                await guarded(lambda: net.value.send("hello"), plugin=net.provided.plugin, doing="to send", within=1)
            if where == "prompt":
                async with brain.value.session(None) as session:
                    async for event in session.prompt(None): ...
            if where == "through a library":
                await guarded(net.value.compile, plugin=net.provided.plugin, doing="to send")
            print("served", flush=True)
            for _ in range(2):  # one of them may be over when a plugin has blocked
                await anyio.sleep(0.4)
            tasks.cancel_scope.cancel()
    print("over", flush=True)

anyio.run(main, backend=sys.argv[4])
"""
HOG = """
import re, time
from contextlib import asynccontextmanager
import anyio

def block(seconds):
    time.sleep(seconds)

class Net:
    def __init__(self, where, config, context):
        self.where = where
    async def run(self, inbox):
        if self.where == "run":
            block(30)
        if self.where == "busy":
            end = time.monotonic() + 30
            while time.monotonic() < end:
                pass
        if self.where == "holding the lock":
            sum(range(10**12))
        if self.where == "short":
            block(0.4)
        if self.where == "longer":
            block(1.5)
        while True:
            try:
                await anyio.sleep(0.01)
            except BaseException:
                if self.where != "swallow":
                    raise
                time.sleep(0.001)
    async def send(self, message):
        block(30)
    async def compile(self):
        re.match("(a+)+b", "a" * 60)

class Session:
    async def prompt(self, turn):
        yield "thinking"
        block(30)
        yield "done"

class Brain:
    def __init__(self, where, config, context): ...
    @asynccontextmanager
    async def session(self, chat):
        yield Session()
    async def forget(self, chat): ...
"""
GOOD = """
import anyio

class Net:
    def __init__(self, config, context): ...
    async def run(self, inbox):
        await anyio.sleep_forever()
    async def send(self, message): ...
"""


@contextmanager
def child(
    folder: Path, where: str, hang_limit: float, backend: str = "asyncio", *, warn_after: float = 0.5
) -> Iterator[subprocess.Popen[str]]:
    for name, source in {"host": HOST, "hog": HOG, "good": GOOD}.items():
        (folder / f"{name}.py").write_text(source)
    command = [sys.executable, str(folder / "host.py"), where, str(hang_limit), str(warn_after), backend]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        guard = threading.Timer(LONGEST, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def ended(folder: Path, where: str, hang_limit: float, backend: str = "asyncio", **more: float) -> tuple[int, str, str]:
    with child(folder, where, hang_limit, backend, **more) as process:
        out, err = process.communicate()
    return process.returncode, out, err


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(HOG.splitlines(), 1) if text in line)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("where", "function", "instance"),
    [
        ("run", "block", ", instance work,"),
        ("send", "block", ", instance work,"),
        ("prompt", "block", ", instance hog or work,"),
        ("busy", "Net.run", ", instance work,"),
    ],
)
def test_a_plugin_that_blocks_is_named_and_the_process_ends_after_the_hang_limit(
    tmp_path: Path, where: str, function: str, instance: str, backend: str
) -> None:
    code, out, err = ended(tmp_path, where, 1, backend)
    assert code == HUNG == 70, err
    assert "over" not in out
    (named,) = [line for line in err.splitlines() if " ERROR nanokimi: nothing has been served for " in line]
    place = re.escape(f"{tmp_path}/hog.py:")
    assert re.search(
        rf'plugin "hog" \(nanokimi-hog 1.0\){instance} blocks the event loop at {place}\d+ \({function}\)', named
    )
    if function == "block":
        assert f"hog.py:{line_of('time.sleep(seconds)')} (block)" in named
    (critical,) = [line for line in err.splitlines() if " CRITICAL nanokimi: " in line]
    assert "the hang_limit" in critical
    assert 'plugin "hog"' in critical
    assert out.endswith("last words\n")
    assert "nanokimi-good" not in err


def test_a_library_that_blocks_is_named_together_with_the_plugin_that_called_it(tmp_path: Path) -> None:
    code, _, err = ended(tmp_path, "through a library", 1)
    assert code in (HUNG, -signal.SIGPROF), err  # Python's own re keeps the lock, depending on its version
    assert "hog.py" in err


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_plugin_that_lets_no_thread_run_ends_the_process_with_its_stack(tmp_path: Path) -> None:
    code, out, err = ended(tmp_path, "holding the lock", 1)
    assert code == -signal.SIGPROF
    assert f'{tmp_path}/hog.py", line {line_of("sum(range")} in run' in err
    assert "over" not in out


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_plugin_that_blocks_for_less_than_the_limits_is_left_in_peace(tmp_path: Path, backend: str) -> None:
    code, out, err = ended(tmp_path, "short", 20, backend, warn_after=10)
    assert (code, err) == (0, "")
    assert out == "served\nover\n"


def test_a_plugin_that_blocks_for_a_while_is_named_once_and_its_end_too(tmp_path: Path) -> None:
    code, out, err = ended(tmp_path, "longer", 20)
    assert code == 0, err
    assert out == "served\nover\n"
    assert err.count("blocks the event loop") == 1
    assert re.search(r"WARNING nanokimi: the event loop goes on after about [1-9] s\n", err)


def test_a_block_in_no_plugins_code_is_not_blamed_on_one(tmp_path: Path) -> None:
    code, _, err = ended(tmp_path, "core", 1)
    assert code == HUNG
    assert "NanoKimi itself or a library is in " in err
    assert 'plugin "' not in err


def test_time_in_which_the_process_could_not_run_does_not_count_and_time_in_which_it_computed_does() -> None:
    clock = _Clock()
    time.sleep(0.5)  # as long as it is idle, it might as well be stopped
    assert clock.passed(at_most=0.1) == 0.1
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert clock.passed(at_most=0.1) >= 0.3
    assert clock.passed(at_most=0.2) < 0.3


def test_a_process_that_was_stopped_for_longer_than_the_hang_limit_goes_on(tmp_path: Path) -> None:
    with child(tmp_path, "none", 1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "served\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # the stop itself is what is tested: nothing can be waited for in a process that is stopped
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "over\n", "")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_plugin_that_swallows_every_cancellation_does_not_hold_up_a_stop_for_ever(
    tmp_path: Path, backend: str
) -> None:
    code, out, err = ended(tmp_path, "swallow", 30, backend)
    assert code == HUNG
    who = 'plugin "hog" (nanokimi-hog 1.0), instance work,'
    assert f"CRITICAL nanokimi: the stop took too long: {who} did not let itself be cancelled" in err
    assert out.endswith("last words\n")


@pytest.mark.anyio
async def test_a_stop_that_takes_its_time_in_a_shielded_scope_is_no_hang() -> None:
    given_up: list[int] = []
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with Watchdog([], hang_limit=0.5, warn_after=0.2, tick=0.05, give_up=given_up.append):
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1.5)
    assert not given_up


@pytest.mark.anyio
async def test_watching_costs_next_to_nothing_and_leaves_nothing_behind() -> None:
    handler, spent = signal.getsignal(signal.SIGPROF), list[float]()
    while not spent or (min(spent) >= 0.1 and len(spent) < 5):  # something else in this process may have work to do
        before = time.process_time()
        async with Watchdog([], hang_limit=60):
            await anyio.sleep(2)
        spent.append(time.process_time() - before)
    assert min(spent) < 0.1
    with anyio.fail_after(30):
        while any(thread.name == "watchdog" for thread in threading.enumerate()):
            await anyio.sleep(0.01)
    assert signal.getsignal(signal.SIGPROF) == handler
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0


SLEEPER = """
import time
from nanokimi_core import Spec, hookimpl

class Sleeper:
    def __init__(self, config, context): ...
    async def run(self, inbox):
        time.sleep(30)
    async def send(self, message): ...

@hookimpl
def nanokimi_transports():
    return [Spec("sleeper", Sleeper)]
"""


def test_a_service_that_a_plugin_blocks_ends_after_the_hang_limit_of_the_toml(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write("sleeper", SLEEPER)
    site.toml('transports = ["sleeper"]\n[limits]\nhang_limit = "2s"\n')
    done = site.run("run")
    assert done.returncode == HUNG
    assert 'plugin "sleeper" (nanokimi-sleeper 1.0) blocks the event loop at ' in done.stderr
    assert ".py:8 (Sleeper.run); mend or update it" in done.stderr
