"""Stand-ins for the public base images, made from a Debian mirror and a Python package index alone.

``debootstrap`` makes the base, with this machine's own certificates; two small Dockerfiles make the rest. Made once
for each machine: their names carry a hash of how they are made.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import errors  # type: ignore[import-untyped]

PREFIX = "nanokimi-test"
SUITE = "trixie"
HERE = Path(__file__).parent
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
COMMAND_SECONDS = 900
BUILD_SECONDS = 600

Say = Callable[[str], None]


class NoStandIns(Exception):
    """This machine can't make them; the text says why."""


@dataclass(frozen=True)
class Bases:
    """What the product's Dockerfile starts from."""

    python: str
    node: str


def why_not() -> str | None:
    """Say why this machine can't make the stand-ins; ``None`` when it can."""
    if os.geteuid() != 0:
        return "debootstrap needs root"
    return None if shutil.which("debootstrap") else "debootstrap is not installed"


def make(client: Any, say: Say) -> Bases:
    """Make what is missing of the stand-ins, with a ``docker.APIClient``.

    Raises:
        NoStandIns: This machine can't.
    """
    base = _named("debian", "1", SUITE)
    python_recipe, node_recipe = (HERE / f"{name}.Dockerfile" for name in ("python", "node"))
    python = _named("python", base, python_recipe.read_text())
    node = _named("node", python, node_recipe.read_text())
    if not present(client, base):
        _make_base(client, base, say)
    for name, recipe, start in ((python, python_recipe, base), (node, node_recipe, python)):
        if not present(client, name):
            say(f"making {name}")
            _build(client, name, recipe.read_bytes(), start)
    return Bases(python, node)


def present(client: Any, name: str) -> bool:
    """Look for an image."""
    try:
        client.inspect_image(name)
    except errors.ImageNotFound:
        return False
    return True


def _named(kind: str, *made_of: str) -> str:
    return f"{PREFIX}/{kind}:{hashlib.sha256(repr(made_of).encode()).hexdigest()[:10]}"


def _make_base(client: Any, name: str, say: Say) -> None:
    if reason := why_not():
        raise NoStandIns(reason)
    say(f"making {name} with debootstrap")
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        _run(["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root), mirror()])
        own = root / "usr/local/share/ca-certificates/machine.crt"
        shutil.copyfile(CERTIFICATES, own)
        _run(["chroot", str(root), "update-ca-certificates"])
        leave_out = [f"--exclude=./{path}" for path in ("var/cache/apt/*", "var/lib/apt/lists/*", "proc/*", "sys/*")]
        _run(["tar", "-C", str(root), "--numeric-owner", *leave_out, "-cf", str(archive), "."])
        repository, tag = name.split(":")
        client.import_image_from_file(str(archive), repository=repository, tag=tag)


def _build(client: Any, name: str, recipe: bytes, base: str) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe))
    context.seek(0)
    events = client.build(
        fileobj=context,
        custom_context=True,
        tag=name,
        buildargs={"BASE": base},
        network_mode="host",
        rm=True,
        forcerm=True,
        decode=True,
        timeout=BUILD_SECONDS,
    )
    said = [event.get("stream") or event.get("error") or "" for event in events]
    if not present(client, name):
        raise RuntimeError(f"{name} could not be built:\n{''.join(said[-30:])}")


def mirror() -> str:
    """Find the Debian mirror that this machine itself uses.

    Raises:
        NoStandIns: It has none.
    """
    listed = _run(["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"])
    lines = [line.split(" ", 1) for line in listed.splitlines() if " " in line]
    found = [uri for label, uri in lines if label == "Debian"] or [uri for _, uri in lines if "security" not in uri]
    if not found:
        raise NoStandIns("this machine's apt has no Debian mirror")
    return found[0]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout
