"""The event loop that outlives a plugin's own ``sys.exit``, as a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOP = """
import sys
import anyio
from nanokimi_core.supervision import guarded, loop_options

async def leaf():
    sys.exit(9)

async def plugin():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leaf)

async def host():
    try:
        await guarded(plugin, plugin="bad", doing="to send")
    except Exception as error:
        print(type(error).__name__, error)

async def main():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host)
    {last}

anyio.run(main, backend="{backend}", backend_options={options})
"""


@pytest.mark.parametrize(("backend", "options"), [("asyncio", "loop_options()"), ("trio", "{}")])
@pytest.mark.parametrize(("last", "code"), [("print('goes on')", 0), ("sys.exit(5)", 5)])
def test_a_plugins_own_task_that_exits_does_not_end_the_process_and_the_hosts_does(
    backend: str, options: str, last: str, code: int
) -> None:
    source = LOOP.format(backend=backend, options=options, last=last)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith('PluginError plugin "bad" failed to send: SystemExit: 9'), done.stderr
    assert ("goes on" in done.stdout) == (code == 0)
    assert done.returncode == code
