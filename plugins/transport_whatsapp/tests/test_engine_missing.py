"""What is said where the library can't be used: the cause, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanokimi_transport_whatsapp.neonize_engine.missing import library_name, why_not_usable

CREATE = """
import sys
from pathlib import Path
from nanokimi_transport_whatsapp.engine import EngineError, EngineSettings
from nanokimi_transport_whatsapp.neonize_engine import create
assert "neonize" not in sys.modules
try:
    create(EngineSettings(Path("session.db"), "NanoKimi"))
except EngineError as error:
    print(error.kind, "|", error.said)
"""


def fake_neonize(folder: Path, body: str = "", library: bytes | None = None) -> Path:
    """Make a package of that name, with the shared library or without."""
    package = folder / "neonize"
    package.mkdir()
    (package / "__init__.py").write_text(body)
    if library is not None:
        (package / library_name()).write_bytes(library)
    return folder


def said(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.delitem(sys.modules, "neonize", raising=False)
    trouble = why_not_usable()
    assert trouble is not None
    return trouble


@pytest.mark.whatsapp
def test_nothing_is_said_where_the_library_can_be_used() -> None:
    assert why_not_usable() is None


def test_a_library_that_is_not_installed_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neonize", None)
    cause, remedy = why_not_usable() or ("", "")
    assert "isn't installed" in cause
    assert "nanokimi[whatsapp]" in remedy


@pytest.mark.skipif(sys.platform != "linux", reason="musl is a C library for Linux")
def test_on_alpine_it_is_said_that_there_is_no_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def confstr(_name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setitem(sys.modules, "neonize", None)
    cause, remedy = why_not_usable() or ("", "")
    assert "musl" in cause
    assert "Debian" in remedy


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is a C library for Linux")
def test_a_glibc_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(fake_neonize(tmp_path, library=b""))
    monkeypatch.setattr(os, "confstr", lambda _name: "glibc 2.31")
    cause, remedy = said(monkeypatch)
    assert "2.31" in cause
    assert "2.34" in cause
    assert "Debian 12" in remedy


def test_a_shared_library_that_is_not_there_is_told_and_never_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(fake_neonize(tmp_path, "raise SystemExit('neonize was imported')"))
    cause, remedy = said(monkeypatch)
    assert library_name() in cause
    assert "--only-binary" in remedy


def test_a_missing_libmagic_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(fake_neonize(tmp_path, library=b""))
    monkeypatch.setitem(sys.modules, "magic", None)
    cause, remedy = said(monkeypatch)
    assert "libmagic" in cause
    assert "libmagic" in remedy


@pytest.mark.whatsapp
def test_a_library_that_cannot_be_loaded_is_one_sentence_and_nothing_is_loaded_before_it_is_needed(
    tmp_path: Path,
) -> None:
    fake_neonize(
        tmp_path, f"import ctypes, os\nctypes.CDLL(os.path.join(__path__[0], '{library_name()}'))", b"no library"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", CREATE], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    kind, _, sentence = ran.stdout.strip().partition(" | ")
    assert kind == "failed"
    assert "can't be loaded" in sentence
    assert "\n" not in sentence
