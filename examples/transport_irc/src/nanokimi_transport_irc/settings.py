"""The table ``[plugins.irc]`` of nanokimi.toml."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from nanokimi_core import ConfigError, TomlPath, keep_secret, matching, refuse

Nick = Annotated[
    str,
    matching(
        r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}", "must be a nick: letters, digits, - and []{}\\|^_`"
    ),
]
Channel = Annotated[
    str,
    matching(r"[#&+!][^\s,:\x00-\x1f]{1,49}( [^\s,\x00-\x1f]{1,23})?", 'must be a channel: "#name", or "#name key"'),
]
Host = Annotated[str, matching(r"[A-Za-z0-9._:-]{1,253}", "must be a host's name or address")]
Word = Annotated[str, matching(r"[^\s:][^\s]{0,99}", "must be one word")]


class Secret(BaseModel):
    """Where a password is.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file that holds nothing but the password, and that only its owner can read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    env: Annotated[str, matching("[A-Za-z_][A-Za-z0-9_]*", "must be the name of an environment variable")] | None = None
    file: TomlPath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise refuse('must be one of { env = "NAME" } and { file = "path" }')
        return self

    def read(self) -> SecretStr:
        """Read it; blocks for as long as reading a small file takes.

        Raises:
            ConfigError: It isn't there, isn't private, or is no password.
        """
        if self.file is not None:
            text, where = _read(self.file), f"file {self.file}"
        else:
            text, where = os.environ.get(self.env or "", ""), f"environment variable {self.env}"
        password = text.strip("\r\n")
        if not password or any(character in password for character in "\r\n\0"):
            raise ConfigError(f"{where} holds no password", remedy="write the password there, alone on one line")
        keep_secret(password)
        return SecretStr(password)


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"password file {path} can be read by others", remedy=f"run: chmod 600 {path}")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"password file {path} can't be read: {said}", remedy="name a file that can be") from None


class Settings(BaseModel):
    """Settings of the transport ``irc``.

    Attributes:
        server: Its host.
        port: By default 6697 with TLS and 6667 without.
        tls: Whether the connection is encrypted.
        ca_file: Certificates to trust in place of the machine's own.
        nick: The assistant's; by default its name.
        channels: To be in; ``"#name key"`` where one needs a key.
        account: Of the password; by default the nick.
        password: Where it is.
        login: Whom the password is told: the server by SASL, NickServ in a message, or the server by PASS.
        per_minute: Lines that are sent in a minute; servers throw out who sends too many.
        burst: Lines that may go at once after a silence.
        patience: Seconds that the server may take to answer, and may be silent before it is asked.
        retry: Seconds between two attempts to come into a channel, or to get the nick.
        absence: Seconds that an answer waits for somebody who isn't on the network, as after a netsplit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: Host
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    tls: bool = True
    ca_file: TomlPath | None = None
    nick: Nick | None = None
    channels: tuple[Channel, ...] = ()
    account: Word | None = None
    password: Secret | None = None
    login: Literal["sasl", "nickserv", "server"] = "sasl"
    per_minute: Annotated[float, Field(gt=0, le=60_000)] = 30
    burst: Annotated[int, Field(ge=1, le=1000)] = 4
    patience: Annotated[float, Field(gt=0, le=600)] = 20
    retry: Annotated[float, Field(gt=0, le=3600)] = 30
    absence: Annotated[float, Field(ge=0, le=86_400)] = 300

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Settings:
        if self.password is not None and not self.tls and not _on_this_machine(self.server):
            raise refuse("password would travel unencrypted; set tls = true, or leave out the password")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.server, self.port or (6697 if self.tls else 6667)


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
