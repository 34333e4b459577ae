"""Why the library can't be used on this machine, said for the owner, as far as possible without importing it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from pathlib import Path

OLDEST_GLIBC = (2, 34)
"""What neonize 0.5's shared library asks for (``objdump -T``), though its wheels are tagged for 2.17."""

INSTALL = "install it with: pip install 'nanokimi[whatsapp]'"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def why_not_usable() -> tuple[str, str] | None:
    """Give the cause and the remedy; ``None`` where the library can be loaded, as far as can be seen from outside."""
    if importlib.util.find_spec("neonize") is None:
        return _not_installed()
    return _libc_trouble() or _file_trouble() or _libmagic_trouble()


def sentence(trouble: tuple[str, str]) -> str:
    """Join cause and remedy."""
    return f"{trouble[0]}: {trouble[1]}"


def after_failed_import(error: Exception) -> tuple[str, str]:
    """Give cause and remedy where loading the library failed all the same."""
    known = why_not_usable()
    if known is not None:
        return known
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return f"the WhatsApp library neonize can't be loaded ({said})", "install it anew: pip install -U neonize"


def _not_installed() -> tuple[str, str]:
    if sys.platform == "linux" and _glibc() is None:
        return "the WhatsApp library neonize can't be installed here: it has no build for musl (Alpine)", _OTHER_SYSTEM
    return "the WhatsApp library neonize isn't installed", INSTALL


_OTHER_SYSTEM = "run NanoKimi on a system with glibc 2.34 or later, for example Debian 12"


def _libc_trouble() -> tuple[str, str] | None:
    if sys.platform != "linux":
        return None
    version = _glibc()
    if version is None:
        return "the WhatsApp library neonize needs glibc, and this system has another C library", _OTHER_SYSTEM
    if version < OLDEST_GLIBC:
        has = ".".join(map(str, version))
        return f"the WhatsApp library neonize needs glibc 2.34 or later, and this system has {has}", _OTHER_SYSTEM
    return None


def _glibc() -> tuple[int, int] | None:
    """Give the C library's version, as the running process has it; ``None`` where it isn't glibc."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except (ValueError, OSError):
        return None


def _file_trouble() -> tuple[str, str] | None:
    """Look for the shared library: where it isn't there, importing neonize would download it from GitHub."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or spec.origin is None:
        return _not_installed()
    name = library_name()
    if (Path(spec.origin).parent / name).is_file():
        return None
    return f"the WhatsApp library neonize is installed without its part for this machine ({name})", (
        "install it from a wheel: pip install --force-reinstall --only-binary :all: neonize"
    )


def library_name() -> str:
    """Name the shared library's file, as ``neonize.utils.platform`` does, which starts a shell for it."""
    machine = platform.machine().lower()
    system = platform.system().lower()
    ending = {"windows": "dll", "darwin": "dylib"}.get(system, "so")
    return f"neonize-{system}-{_ARCHITECTURES.get(machine, machine)}.{ending}"


def _libmagic_trouble() -> tuple[str, str] | None:
    try:
        importlib.import_module("magic")
    except (ImportError, OSError):
        remedy = "apt install libmagic1" if sys.platform == "linux" else "brew install libmagic"
        return "the WhatsApp library neonize needs libmagic, which isn't installed", f"install it with: {remedy}"
    return None
