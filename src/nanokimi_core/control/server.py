"""The side of the running process: answers commands, and lets a terminal join."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from logging import getLogger
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus
from pydantic import ValidationError

from nanokimi_core.control.calls import Request, perform, refused
from nanokimi_core.control.console import JoinedConsole
from nanokimi_core.control.sockets import Connection, listening
from nanokimi_core.control.wire import LONGEST_REQUEST, Garbage, Gone, Wire, as_value
from nanokimi_core.errors import CommandError, NanoKimiError
from nanokimi_core.operations import Operations

MOST_CONNECTIONS = 16
IDLE_SECONDS = 30.0
WORK_SECONDS = 300.0

_SEND_SECONDS = 10.0
_PAUSE = 1.0

Join = Callable[[bool], AbstractAsyncContextManager[JoinedConsole]]

log = getLogger("nanokimi")


async def serve(
    path: Path, operations: Operations, join: Join, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Answer commands until cancelled.

    Args:
        path: Of the socket; the caller holds the folder that it lies in.
        operations: What the commands ask for.
        join: Makes the chat ``console:local`` ready for a terminal; told whether what waits there is to be dropped.
        task_status: Started when commands can connect.

    Raises:
        ConfigError: The socket can't be made.
    """
    server = _Server(operations, join)
    async with listening(path) as listener, anyio.create_task_group() as connections:
        task_status.started()
        while True:
            try:
                connection = await listener.accept()
            except OSError as error:  # no descriptor left, for example
                log.warning("a command could not connect: %s", error)
                await anyio.sleep(_PAUSE)
            else:
                connections.start_soon(server.meet, connection)


class _Server:
    def __init__(self, operations: Operations, join: Join) -> None:
        self._operations = operations
        self._join = join
        self._connections = 0

    async def meet(self, connection: Connection) -> None:
        """Deal with one connection, whatever it does."""
        wire = Wire(connection, longest=LONGEST_REQUEST)
        self._connections += 1
        try:
            if not connection.is_owners:
                log.warning("another user's process was turned away from the control socket")
            elif self._connections > MOST_CONNECTIONS:
                await _send(wire, _error(CommandError("too many commands at once", remedy="try again in a moment")))
            else:
                await _send(wire, {"process": os.getpid()})
                await self._converse(wire)
        except (Gone, TimeoutError):
            pass
        finally:
            self._connections -= 1
            with anyio.CancelScope(shield=True):
                await wire.aclose()

    async def _converse(self, wire: Wire) -> None:
        while True:
            try:
                with anyio.fail_after(IDLE_SECONDS):
                    request = Request.model_validate(await wire.receive())
            except Garbage as error:
                await _send(wire, _error(refused(error)))
                return
            except ValidationError as error:
                await _send(wire, _error(refused(ValueError(_first(error)))))
                continue
            if request.call == "join":
                await self._let_join(wire, request.fresh)
                return
            await _send(wire, await self._answer(request))

    async def _answer(self, request: Request) -> dict[str, Any]:
        try:
            with anyio.fail_after(WORK_SECONDS):
                return {"answer": await perform(self._operations, request)}
        except NanoKimiError as error:
            return _error(error)
        except TimeoutError:
            return _error(CommandError(f"it was not done within {WORK_SECONDS:g} s", remedy="see: nanokimi status"))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # operations ask plugins; no command ends the service
            return _error(_fault(error))

    async def _let_join(self, wire: Wire, fresh: bool) -> None:
        try:
            async with self._join(fresh) as console:
                await console.attach(wire)
        except NanoKimiError as error:
            await _send(wire, _error(error))
        except (Gone, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  # as in _answer
            await _send(wire, _error(_fault(error)))


async def _send(wire: Wire, value: dict[str, Any]) -> None:
    with anyio.fail_after(_SEND_SECONDS):
        await wire.send(value)


def _error(error: NanoKimiError) -> dict[str, Any]:
    return {"error": as_value(error)}


def _fault(error: BaseException) -> CommandError:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    log.error("a command met a fault: %s: %s", type(error).__name__, error, exc_info=error)
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return CommandError(f"the running process met a fault of its own: {said}", remedy="its log says more")


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
