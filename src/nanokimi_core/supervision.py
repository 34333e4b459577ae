"""Calls into plugins, so that whatever comes out of one is a result, an ordinary exception, or our own cancellation.

``guarded`` awaits something of a plugin's, ``guarded_call`` calls a plain function of its, ``entered`` enters and
leaves its context managers within time. What can't be mended from inside the process is a plugin that swallows every
cancellation: its task never ends, so the watchdog ends the process (``Watchdog.stop_within``).
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from logging import getLogger
from typing import Any, TypeVar

import anyio

from nanokimi_core.errors import NanoKimiError, NetworkAway, NotAccepted, PluginError
from nanokimi_core.places import called, defined_at, raised_at, short
from nanokimi_core.plugins import Plugin, blame

LEAVING = 10.0  # seconds in which what was entered must be left
_REMEDY = "mend or update it, or take it out of nanokimi.toml"

_CANCELLATIONS = ("CancelledError", "Cancelled")  # asyncio's and trio's, whichever of them runs

T = TypeVar("T")

log = getLogger("nanokimi")


async def guarded(
    call: Callable[[], Awaitable[T]],
    *,
    plugin: Plugin | str,
    doing: str,
    within: float | None = None,
    returns: type | tuple[type, ...] | None = None,
) -> T:
    """Call a plugin's async function and give what it returns.

    A cancellation of ours passes, and so does what a plugin may raise: any ``Exception``, unchanged; where a task group
    of the plugin's wrapped a single one, that one. All else becomes a ``PluginError``. In the first task of a program,
    where Ctrl-C arrives, cancellations and ``KeyboardInterrupt`` are taken for the person's.

    Args:
        call: Takes no arguments; a bound method, or a lambda.
        plugin: The culprit; a ``str`` is an instance's name, where nothing more is known.
        doing: What the plugin is at, to go on after "failed": ``to send``, ``in a turn``.
        within: Seconds; ``None`` opens no cancel scope, which an ``__aenter__`` needs that keeps scopes open.
        returns: What the result must be; anything goes unless given.

    Raises:
        PluginError: It was too slow (caused by a ``TimeoutError``), returned nonsense, called ``sys.exit``, or raised a
            cancellation that nobody asked for.
        Exception: Whatever else the plugin raised.
    """
    result: T
    try:
        if within is None:
            result = await _awaitable(call(), plugin, doing, call)
        else:
            with anyio.move_on_after(within) as limit:
                result = await _awaitable(call(), plugin, doing, call)
            if limit.cancelled_caught:
                raise fault(plugin, doing, f"it was not done within {within:g} s") from TimeoutError()
    except ExceptionGroup as group:
        single = no_fault(group) or _single(group)
        if single is None:
            raise fault(plugin, doing, traced(group, plugin)) from group
        raise single from single.__cause__
    except Exception:
        raise
    except BaseException as error:
        if (ours := _ours(error, plugin, doing)) is not None:
            raise ours from None
        raise fault(plugin, doing, traced(error, plugin)) from error
    return _checked(result, returns, plugin, doing, call)


def guarded_call(
    call: Callable[[], T],
    *,
    plugin: Plugin | str,
    doing: str,
    returns: type | tuple[type, ...] | None = None,
) -> T:
    """Call a plain function of a plugin's.

    Raises:
        PluginError: It returned something else than ``returns``, where that is given, called ``sys.exit``, or raised
            another thing that is no ``Exception``.
        Exception: Whatever else the plugin raised.
    """
    try:
        result = call()
    except Exception:
        raise
    except BaseException as error:
        raise fault(plugin, doing, traced(error, plugin)) from error
    return _checked(result, returns, plugin, doing, call)


def _checked(
    result: T, returns: type | tuple[type, ...] | None, plugin: Plugin | str, doing: str, call: Callable[[], Any]
) -> T:
    if returns is None or isinstance(result, returns):
        return result
    if inspect.iscoroutine(result):
        result.close()  # else Python warns that nobody has awaited it
    kinds = returns if isinstance(returns, tuple) else (returns,)
    wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
    raise wrong_return(plugin, doing, call, result, wanted)


@asynccontextmanager
async def entered(
    manager: AbstractAsyncContextManager[T],
    *,
    plugin: Plugin | str,
    doing: str,
    start: float | None = None,
    leave: float = LEAVING,
) -> AsyncIterator[T]:
    """Enter a plugin's context manager, and leave it within ``leave`` seconds, also while being cancelled.

    A fault on leaving is logged, never raised; what the manager would suppress is raised all the same.

    Args:
        manager: The plugin's. It may keep cancel scopes and task groups open from entering to leaving.
        plugin: The culprit.
        doing: What it is for, to go on after "failed": ``to make "net"``.
        start: Seconds in which it must be entered.
        leave: Seconds in which it must be left.

    Raises:
        PluginError: It is no context manager, isn't entered in time, or raises what is no ``Exception``.
        Exception: Whatever else it raised on entering.
    """
    if not (hasattr(manager, "__aenter__") and hasattr(manager, "__aexit__")):
        raise _no_manager(manager, plugin, doing)
    # Two scopes, because one that has been cancelled can't be used for leaving any more; both lie around everything,
    # because scopes that the plugin keeps open must be closed inside of ours.
    with anyio.CancelScope() as starting, anyio.CancelScope() as life:
        if start is not None:
            starting.deadline = anyio.current_time() + start
        value = await guarded(manager.__aenter__, plugin=plugin, doing=doing)
        late, starting.deadline = starting.cancel_called, math.inf
        try:
            if not late:
                yield value
        except BaseException as error:
            raised = await _leave(manager, life, error, leave, plugin, doing)
            if _is_cancellation(error) and not _cancelled():
                why = f"its own tasks ended: {traced(raised or error, plugin)}"
                raise fault(plugin, doing, why) from raised
            raise
        await _leave(manager, life, None, leave, plugin, doing)
        if not late:
            return
    raise fault(plugin, doing, f"it was not done within {start:g} s") from TimeoutError()


async def _leave(
    manager: AbstractAsyncContextManager[Any],
    life: anyio.CancelScope,
    error: BaseException | None,
    seconds: float,
    plugin: Plugin | str,
    doing: str,
) -> BaseException | None:
    """Leave, log what goes wrong, and give what was raised besides the error that we leave with."""
    life.shield, life.deadline = True, anyio.current_time() + seconds
    doing = f"{doing}, on leaving"
    kind, traceback = (type(error), error.__traceback__) if error is not None else (None, None)
    try:
        await _awaitable(manager.__aexit__(kind, error, traceback), plugin, doing)
    except BaseException as raised:  # a plugin boundary, and we are leaving anyway
        if life.cancel_called and _has_cancellation(raised):
            log.error("%s", fault(plugin, doing, f"it was not done within {seconds:g} s"))
        elif raised is not error and not (error is not None and _is_cancellation(error) and _is_cancellation(raised)):
            log.error("%s", named(plugin, doing, raised), exc_info=raised)
            return raised
    finally:
        life.shield, life.deadline = False, math.inf
    return None


class BackOff:
    """Waits between attempts: 1 s, doubling up to a minute, with jitter; from the start again after a good minute.

    Args:
        first: Seconds.
        longest: Seconds; also how long an attempt must have gone well to count as good.
    """

    def __init__(self, *, first: float = 1.0, longest: float = 60.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def after(self, lasted: float) -> float:
        """Give the seconds to wait after an attempt that went well for ``lasted`` seconds."""
        wait = self._first if lasted >= self._longest else self._next
        self._next = min(wait * 2, self._longest)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  # jitter


def fault(plugin: Plugin | str, doing: str, said: str, remedy: str = _REMEDY) -> PluginError:
    """Make the error that names a plugin as the culprit of something that it did."""
    who = f'plugin "{plugin}"' if isinstance(plugin, str) else str(plugin)
    return PluginError(f"{who} failed {doing}: {said}", remedy=remedy)


def wrong_return(plugin: Plugin | str, doing: str, function: object, value: object, wanted: str) -> PluginError:
    """Make the error that names a plugin's function, with its place, which gave something else than it should.

    Args:
        plugin: The culprit.
        doing: What it was at.
        function: What gave it.
        value: What it gave.
        wanted: What it should give, for people: ``Receipt or None``.
    """
    said = f"it returned {_shown(value)}, not {wanted}"
    if not defined_at(function):
        return fault(plugin, doing, said)
    return fault(plugin, doing, f"{said}, in {called(function)}", f"let it return {wanted}")


def named(plugin: Plugin | str, doing: str, error: BaseException) -> NanoKimiError:
    """Make the error that names a plugin as the culprit of something that came out of it; of a group, the worst.

    What is no plugin's fault stays as it is: a message that the core could not keep, a network that is away.
    """
    if (said := no_fault(error)) is not None:
        return said
    leaf = _leaf(error)
    if isinstance(plugin, Plugin) and isinstance(leaf, OSError):
        return blame(plugin, doing, leaf)
    return fault(plugin, doing, traced(error, plugin))


def no_fault(error: BaseException) -> NanoKimiError | None:
    """Find what isn't a plugin's fault; what else stands in its group has come of that."""
    if isinstance(error, BaseExceptionGroup):
        found = [each for each in map(no_fault, error.exceptions) if each is not None]
        return next((each for each in found if isinstance(each, NotAccepted)), found[0] if found else None)
    return error if isinstance(error, (NotAccepted, NetworkAway)) else None


def describe(error: BaseException) -> str:
    """Say in a line what came out of a plugin; of a group, the worst."""
    leaf = _leaf(error)
    if type(leaf).__name__ in _CANCELLATIONS:
        return f"it raised {type(leaf).__name__}, a cancellation that nobody asked for"
    try:
        return " ".join(f"{type(leaf).__name__}: {leaf}".split())[:500].rstrip(": ")
    except Exception:  # noqa: BLE001  # a plugin's exception whose text can't be had: its type must do
        return type(leaf).__name__


def traced(error: BaseException, plugin: Plugin | str = "") -> str:
    """Say in a line what came out of a plugin, and where in its code that was raised."""
    return describe(error) + whence(error, plugin)


def whence(error: BaseException, plugin: Plugin | str = "") -> str:
    """Say where in a plugin's code something was raised, to go on after what it was; empty where that isn't known."""
    return raised_at(_leaf(error), plugin.module if isinstance(plugin, Plugin) else "")


def loop_options() -> dict[str, Any]:
    """Give ``backend_options`` for ``anyio.run`` on asyncio, whose loop ends when any task calls ``sys.exit``.

    asyncio tears its loop down at a ``SystemExit`` in whichever task, and a plugin's own child tasks are out of
    ``guarded``'s reach. This loop goes on: the task's owner gets the exception, as on trio. Only a ``SystemExit`` out
    of the program's first task ends it.
    """
    asyncio = import_module("asyncio")  # by name: this repairs asyncio itself, and the core must not come to need it

    class Lasting(asyncio.SelectorEventLoop):  # type: ignore[misc, name-defined]
        first: Any = None

        def run_until_complete(self, future: Any) -> Any:
            self.first = asyncio.ensure_future(future, loop=self)
            return super().run_until_complete(self.first)

        def run_forever(self) -> None:
            while True:
                try:
                    return super().run_forever()  # type: ignore[no-any-return]
                except SystemExit as error:
                    if self.first is None or self.first.done():
                        raise
                    log.error("a plugin called sys.exit(%s) in a task of its own", error.code)

    return {"loop_factory": Lasting}


async def _awaitable(value: Any, plugin: Plugin | str, doing: str, call: object = None) -> Any:
    if not inspect.isawaitable(value):
        where = defined_at(call)
        said = f"it returned {_shown(value)}, which can't be awaited: it must be an async def"
        raise fault(plugin, doing, f"{said} ({where})" if where else said)
    return await value


def _no_manager(value: Any, plugin: Plugin | str, doing: str) -> PluginError:
    if hasattr(value, "__aenter__"):
        said = f"it gave {called(type(value))}, which has __aenter__ and no __aexit__"
        return fault(plugin, doing, said, "add: async def __aexit__(self, *error: object) -> None")
    said = f"it returned {_shown(value)}, not an async context manager"
    code = getattr(value, "ag_code", None) or getattr(value, "cr_code", None)
    if inspect.iscoroutine(value):
        value.close()
    if code is None:
        return fault(plugin, doing, said)
    where = f"{short(code.co_qualname)} ({code.co_filename}:{code.co_firstlineno})"
    return fault(plugin, doing, said, f"let {where} yield what it makes, with @asynccontextmanager above it")


def _shown(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _ours(error: BaseException, plugin: Plugin | str, doing: str) -> BaseException | None:
    """Give what of an error is a cancellation of ours, or the interpreter's way to end a coroutine; else ``None``."""
    try:
        first = anyio.get_current_task().parent_id is None
    except (RuntimeError, AttributeError):  # in no task: the loop is over, and what is left of us is being closed
        return error
    if first and isinstance(error, KeyboardInterrupt):
        return error
    if not (first or _cancelled()) or not _has_cancellation(error):
        return None
    if not isinstance(error, BaseExceptionGroup):
        return error
    cancellation, rest = error.split(anyio.get_cancelled_exc_class())
    if rest is not None:
        log.error("%s", fault(plugin, f"{doing}, when it was cancelled", traced(rest, plugin)), exc_info=rest)
    return cancellation


def _cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf


def _has_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(anyio.get_cancelled_exc_class()) is not None
    return isinstance(error, anyio.get_cancelled_exc_class())


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(anyio.get_cancelled_exc_class())[1] is None
    return isinstance(error, anyio.get_cancelled_exc_class())


def _leaf(error: BaseException) -> BaseException:
    """Give the worst of a group: what would have ended the host, then a fault, then a cancellation."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return min((_leaf(each) for each in error.exceptions), key=_harm)


def _single(group: ExceptionGroup[Exception]) -> Exception | None:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        error = error.exceptions[0]
    return error


def _harm(error: BaseException) -> int:
    if type(error).__name__ in _CANCELLATIONS:
        return 2
    return 1 if isinstance(error, Exception) else 0
