"""Where a plugin's code lies: the file and line that an error names, so that its author finds the place."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

_CORE = str(Path(__file__).parent) + os.sep
_BUILT_IN = _CORE + "builtin" + os.sep
_STDLIB = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_SITES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_BETWEEN = ("anyio", "trio", "outcome", "pluggy", "pydantic", "typer", "click")  # between the core and a plugin

_NAMED = re.compile(r", at /[^;]*?:\d+(?: \([\w.<>]+\))?| \(/[^;()]*:\d+\)")

Frame = tuple[str, int, str]


def unplaced(text: str) -> str:
    """Leave the places out of an error: the log has them, and a chat is to see no path."""
    return _NAMED.sub("", text)


def defined_at(thing: object) -> str:
    """Give ``file:line`` of a function, a method or a class; empty where that isn't known, or is the core's own."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    if isinstance(thing, type):
        return _class_at(thing)
    code = code_of(thing)
    return "" if code is None or _is_machinery(code.co_filename) else f"{code.co_filename}:{code.co_firstlineno}"


def code_of(thing: object) -> CodeType | None:
    """Give the code of what a plugin's author wrote: beneath methods, decorators and objects that can be called."""
    thing = inspect.unwrap(getattr(thing, "__func__", thing))  # type: ignore[arg-type]
    code = getattr(thing, "__code__", None)
    if code is None and not isinstance(thing, type):
        code = getattr(getattr(type(thing), "__call__", None), "__code__", None)  # noqa: B004  # its code is wanted
    return code if isinstance(code, CodeType) else None


def called(thing: object) -> str:
    """Name a function, a method or a class with its place, for people: ``Post.send (/site/post.py:31)``."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    code = None if isinstance(thing, type) else code_of(thing)
    name = code.co_qualname if code is not None else getattr(thing, "__qualname__", type(thing).__qualname__)
    where = defined_at(thing)
    return f"{short(name)} ({where})" if where else short(name)


def short(name: str) -> str:
    """Leave out the functions around a name."""
    return name.rpartition("<locals>.")[2]


def raised_at(error: BaseException, module: str = "") -> str:
    """Say where a plugin raised something, to go on after what it raised; empty where a plugin has no part in it.

    It is the innermost frame of the plugin's own files. Where nothing is known of those, they are taken to lie where
    the code lies that the core called.

    Args:
        error: Of a group, give the one that is meant.
        module: The plugin's, where it is known.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f", at {error.filename}:{error.lineno}"
    frames = [
        (frame.f_code.co_filename, line, short(frame.f_code.co_qualname))
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    innermost = _innermost(frames, _files_of(module)) or _innermost(frames, _files_called(frames))
    if innermost is None:
        return ""
    file, line, name = innermost
    return f", at {file}:{line}" + ("" if name.startswith("<") else f" ({name})")


def _innermost(frames: list[Frame], mine: Callable[[str], bool] | None) -> Frame | None:
    return next((frame for frame in reversed(frames) if mine is not None and mine(frame[0])), None)


def _files_of(module: str) -> Callable[[str], bool] | None:
    """Tell the files of a plugin by its module: those of the regular package around it, or its own."""
    file: Any = getattr(sys.modules.get(module), "__file__", None)
    return _around(file) if file else None


def _files_called(frames: list[Frame]) -> Callable[[str], bool] | None:
    """Tell the files of a plugin by what the core called: its first frame that is nobody else's."""
    for file, _, _ in frames:
        if not _is_machinery(file):
            return _around(file)
    return None


def _around(file: str) -> Callable[[str], bool]:
    folder, package = Path(file).parent, None
    while (folder / "__init__.py").exists() and str(folder) + os.sep != _CORE:
        folder, package = folder.parent, str(folder) + os.sep
    if package is None:
        return lambda other: other == file
    return lambda other: other.startswith(package)


def _is_machinery(file: str) -> bool:
    """Whether a file is of the core, of Python, or of a library through which the core calls plugins."""
    if file.startswith("<"):
        return True
    if file.startswith(_CORE):
        return not file.startswith(_BUILT_IN)
    if file.startswith(_STDLIB) and not any(site in file for site in _SITES):
        return True
    return file.startswith(tuple(filter(None, map(_folder, _BETWEEN))))


def _folder(library: str) -> str:
    file = getattr(sys.modules.get(library), "__file__", None)
    return str(Path(file).parent) + os.sep if file else ""


def _class_at(kind: type) -> str:
    try:
        file = inspect.getsourcefile(kind) or ""
        if not file or _is_machinery(file):
            return ""
        return f"{file}:{inspect.getsourcelines(kind)[1]}"
    except (OSError, TypeError):  # made without a file, or of C
        return ""
