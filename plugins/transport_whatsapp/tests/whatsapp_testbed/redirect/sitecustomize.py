"""Leads a test process's copy of the WhatsApp library to the stand-in server: its memory only, never its file.

Python imports this at start because the folder stands first in ``PYTHONPATH`` (``WhatsAppServer.environment``). When
``neonize._binder`` has loaded the shared library, 32 bytes of its writable memory, the root key that WhatsApp's
servers must be certified by, become the testbed's, which stands beside the certificate in ``SSL_CERT_FILE``. Another
``sitecustomize`` further down the path runs as usual.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_BINDER = "neonize._binder"
_PINNED = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
_HERE = os.path.dirname(__file__)  # noqa: PTH120  # every process starts with this: pathlib would slow it


class _Swapping(Loader):
    """Loads the module that loads the library, and swaps the key before anybody can use it."""

    def __init__(self, inner: Loader, key: bytes) -> None:
        self._inner = inner
        self._key = key

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        _swap(self._key)


class _Watching(MetaPathFinder):
    """Finds the module that loads the library, once."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _BINDER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Swapping(spec.loader, self._key)
        return spec


def _swap(key: bytes) -> None:
    """Replace the pinned key wherever the library's writable memory holds it: in exactly one place."""
    import ctypes

    found = 0
    with open("/proc/self/maps") as maps:  # noqa: PTH123  # see above
        regions = [line.split() for line in maps if "neonize-" in line and line.split()[1].startswith("rw")]
    for region in regions:
        start, end = (int(edge, 16) for edge in region[0].split("-"))
        at = ctypes.string_at(start, end - start).find(_PINNED)
        if at >= 0:
            ctypes.memmove(start + at, key, len(key))
            found += 1
    if found != 1:
        raise RuntimeError(
            f"the WhatsApp library holds the pinned root key {found} times, not once: update the testbed"
        )


def _run_next() -> None:
    """Run the ``sitecustomize`` that this one stands before."""
    path = [place for place in sys.path if os.path.realpath(place or ".") != os.path.realpath(_HERE)]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _watch() -> None:
    """Wait for the library, if the certificates that this process trusts are the testbed's."""
    beside = os.path.join(os.path.dirname(os.environ.get("SSL_CERT_FILE", "")), "whatsapp-root.hex")  # noqa: PTH118, PTH120
    if os.path.exists(beside):  # noqa: PTH110
        with open(beside) as file:  # noqa: PTH123
            sys.meta_path.insert(0, _Watching(bytes.fromhex(file.read())))


_watch()
_run_next()
