"""The library's protobuf classes without the library: nothing native is loaded or logged, and no libmagic is needed."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


@cache
def _module(name: str) -> Any:
    """Import a generated module by the name under which the others of the library import it.

    They are top-level names, found in the folder that ``neonize.proto`` itself puts on the path. Classes are made from
    protobuf's one pool, so they are the same ones as those of a whole ``import neonize``.
    """
    found = PathFinder.find_spec("neonize")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("neonize, the library for WhatsApp, is not installed")
    folder = str(Path(next(iter(found.submodule_search_locations))) / "proto")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def happenings() -> Any:
    """Give the module of the library's events: ``Message``, ``CallOffer``, ``UndecryptableMessage``, ``JID``."""
    return _module("Neonize_pb2")


def contents() -> Any:
    """Give the module of what WhatsApp's messages hold: ``Message`` and its parts."""
    return _module("waE2E.WAWebProtobufsE2E_pb2")


def common() -> Any:
    """Give the module of what they share: ``MessageKey``."""
    return _module("waCommon.WACommon_pb2")
