"""What a transport says of its connection stands in the status, and breaks nothing where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanokimi_core.cli.status import broken_things
from nanokimi_core.logs import keep_secret
from nanokimi_core.status import InstanceStatus
from testbed.fakes import MemoryTransport, bench

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Telling(MemoryTransport):
    """Says what it is told to say."""

    told: Any = ""

    def state(self) -> Any:
        if isinstance(self.told, BaseException):
            raise self.told
        return self.told


class Stateful(MemoryTransport):
    """Has an attribute of its own that is called so."""

    state = "asleep"


async def looked_at(folder: Path, net: MemoryTransport) -> InstanceStatus:
    async with bench(folder, net=net).running() as given:
        assert given.net.inbox is not None
        given.net.inbox.away()
        status = await given.assistant.operations.status()
    (found,) = [each for each in status.instances if each.kind == "transport"]
    assert all(each.said == "" for each in status.instances if each.kind != "transport")
    assert broken_things(status)[0].startswith(f"transport net not connected{f': {found.said}' if found.said else ''}")
    return found


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("", ""),
        ("waits to be linked", "waits to be linked"),
        (" two\nlines\x1b[31m ", "two lines[31m"),
        ("x" * 1000, "x" * 199 + "…"),
    ],
)
async def test_what_a_transport_says_is_shown_as_one_line_of_200_characters(
    tmp_path: Path, told: str, said: str
) -> None:
    net = Telling()
    net.told = told
    assert (await looked_at(tmp_path, net)).said == said


async def test_no_secret_is_shown(tmp_path: Path) -> None:
    net = Telling()
    net.told = "linked with hunter2-hunter2"
    keep_secret("hunter2-hunter2")
    assert "hunter2" not in (await looked_at(tmp_path, net)).said


@pytest.mark.parametrize(
    ("told", "cause"),
    [(LookupError("no map"), "LookupError: no map"), (SystemExit(3), "SystemExit: 3"), (7, "it returned int, not str")],
    ids=["raises", "exits", "gives a number"],
)
async def test_a_transport_that_cannot_say_is_named_and_the_status_stands(
    tmp_path: Path, told: Any, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    net = Telling()
    net.told = told
    found = await looked_at(tmp_path, net)
    assert found.said.startswith(f'plugin "net" (dist-net 1.0) failed to say how its connection stands: {cause}')
    assert __file__ not in found.said
    assert __file__ in caplog.text
    assert (found.state, found.connected) == ("running", False)


@pytest.mark.parametrize("net", [MemoryTransport, Stateful], ids=["has none", "an attribute of its own"])
async def test_who_says_nothing_is_not_asked(tmp_path: Path, net: type[MemoryTransport]) -> None:
    assert (await looked_at(tmp_path, net())).said == ""
