"""ngIRCd, started in the foreground with a configuration of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

BINARY = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
OPERATOR = ("oper", "sesame")
_GLOBAL = ("Listen = 127.0.0.1", "MotdPhrase = hello", "PidFile =", "AdminInfo1 = a trial", "Info = a trial")
_SECONDS = 60
_LOOK = 0.01


class Ngircd:
    """A server on this machine; entered, it listens.

    Args:
        folder: For its configuration and its log.
        name: Among servers that are linked; it needs a dot.
        port: To listen on; by default a free one.
        password: That everybody has to give.
        certificate: Files of a certificate and its key, for ``tls_port``.
        links: Configuration of other servers, from ``link``.
        limits: More lines for ``[Limits]``.

    Attributes:
        port: Where it listens.
        tls_port: Where it listens with TLS, given a certificate.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "a.irc.test",
        *,
        port: int = 0,
        password: str = "",
        certificate: tuple[Path, Path] | None = None,
        links: Sequence[str] = (),
        limits: Sequence[str] = ("MaxPenaltyTime = 0",),
    ) -> None:
        self.name, self.port, self.tls_port = name, port or free_port(), free_port() if certificate else 0
        self._folder = folder / name
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        sections = {
            "Global": [
                f"Name = {name}",
                "Listen = 127.0.0.1",
                f"Ports = {self.port}",
                f"Password = {password}",
                *_GLOBAL,
            ],
            "Limits": ["MaxConnectionsIP = 0", "MaxJoins = 0", "MaxNickLength = 20", "ConnectRetry = 5", *limits],
            "Options": ["DNS = no", "Ident = no", "PAM = no", "OperCanUseMode = yes", "IncludeDir ="],
            "Operator": [f"Name = {OPERATOR[0]}", f"Password = {OPERATOR[1]}"],
        }
        if certificate is not None:
            sections["SSL"] = [
                f"CertFile = {certificate[0]}",
                f"KeyFile = {certificate[1]}",
                f"Ports = {self.tls_port}",
            ]
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [line for section, lines in sections.items() for line in (f"[{section}]", *lines)]
        (self._folder / "ngircd.conf").write_text("\n".join([*lines, *links, ""]))

    def start(self) -> None:
        """Start it, and wait until it listens; it may have been stopped before."""
        assert BINARY is not None, "there is no ngircd; install the package of that name"
        self._log = (self._folder / "log").open("ab")
        command = [BINARY, "-n", "-f", str(self._folder / "ngircd.conf")]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS
        while not _listens(self.port):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(_LOOK)

    def stop(self, *, kill: bool = False) -> None:
        """Stop it; people hear of it unless it is killed."""
        if self._process is not None and self._log is not None:
            (self._process.kill if kill else self._process.terminate)()
            try:
                self._process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_SECONDS)
            self._log.close()
        self._process = None

    def __enter__(self) -> Ngircd:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text(errors="replace")


def link(name: str, *, port: int = 0) -> str:
    """Give the lines that tell a server of another one; with a port, it connects when an operator says so."""
    where = f"\tHost = 127.0.0.1\n\tPort = {port}\n\tPassive = yes\n" if port else ""
    return f"[Server]\n\tName = {name}\n{where}\tMyPassword = linked\n\tPeerPassword = linked\n"


def free_port() -> int:
    """Find a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
