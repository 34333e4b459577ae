"""WhatsApp's "binary XML": stanzas as bytes, in which frequent words are one or two bytes (``tokens.py``)."""

from __future__ import annotations

import zlib
from typing import Final

from whatsapp_testbed.stanzas import LID, PHONE, Attribute, Jid, Node
from whatsapp_testbed.tokens import Words

_EMPTY, _LIST_8, _LIST_16 = 0, 248, 249
_DOUBLE_FIRST, _DOUBLE_LAST = 236, 239
_DEVICE_JID, _JID_PAIR = 247, 250
_HEX_8, _NIBBLE_8 = 251, 255
_BINARY_8, _BINARY_20, _BINARY_32 = 252, 253, 254
_DIGITS: Final = {_HEX_8: "0123456789ABCDEF", _NIBBLE_8: "0123456789-.????"}
_DOMAINS: Final = {0: PHONE, 1: LID}
_COMPRESSED = 2


class Codec:
    """Writes and reads stanzas with one version's dictionary."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._numbers = {word: number for number, word in enumerate(words.single) if word}

    def encode(self, node: Node) -> bytes:
        """Write a stanza, with the leading byte that says "not compressed"."""
        writer = _Writer(self._numbers)
        writer.node(node)
        return b"\0" + bytes(writer.out)

    def decode(self, data: bytes) -> Node:
        """Read a stanza with its leading byte.

        Raises:
            ValueError: It breaks the format.
        """
        body = zlib.decompress(data[1:]) if data[0] & _COMPRESSED else data[1:]
        return _Reader(self._words, body).node()


class _Writer:
    def __init__(self, numbers: dict[str, int]) -> None:
        self.out = bytearray()
        self._numbers = numbers

    def node(self, node: Node) -> None:
        attributes = {name: value for name, value in node.attributes.items() if value not in {None, ""}}
        self._list(2 * len(attributes) + 1 + (node.content is not None))
        self._word(node.tag)
        for name, value in attributes.items():
            self._word(name)
            self._attribute(value)
        if isinstance(node.content, bytes):
            self._bytes(node.content)
        elif node.content is not None:
            self._list(len(node.content))
            for child in node.content:
                self.node(child)

    def _attribute(self, value: Attribute | None) -> None:
        if isinstance(value, Jid):
            self._jid(value)
        else:
            self._word(str(value))

    def _jid(self, jid: Jid) -> None:
        if jid.device and jid.server in _DOMAINS.values():
            self.out += bytes([_DEVICE_JID, int(jid.server == LID), jid.device])
            self._word(jid.user)
            return
        self.out.append(_JID_PAIR)
        if jid.user:
            self._word(jid.user)
        else:
            self.out.append(_EMPTY)
        self._word(jid.server)

    def _word(self, word: str) -> None:
        if word in self._numbers:
            self.out.append(self._numbers[word])
        else:
            self._bytes(word.encode())

    def _list(self, length: int) -> None:
        if not length:
            self.out.append(_EMPTY)
        elif length < 1 << 8:
            self.out += bytes([_LIST_8, length])
        else:
            self.out += bytes([_LIST_16]) + length.to_bytes(2, "big")

    def _bytes(self, data: bytes) -> None:
        if len(data) < 1 << 8:
            self.out += bytes([_BINARY_8, len(data)])
        elif len(data) < 1 << 20:
            self.out += bytes([_BINARY_20]) + len(data).to_bytes(3, "big")
        else:
            self.out += bytes([_BINARY_32]) + len(data).to_bytes(4, "big")
        self.out += data


class _Reader:
    def __init__(self, words: Words, data: bytes) -> None:
        self._words = words
        self._data = data
        self._at = 0

    def node(self) -> Node:
        size = self._list_size(self._number(1))
        tag = self._text()
        attributes: dict[str, Attribute | None] = {}
        for _ in range((size - 1) // 2):
            name = self._text()
            attributes[name] = self._value(self._number(1))
        return Node(tag, attributes, None if size % 2 else self._content())

    def _take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) < length:
            raise ValueError(f"a stanza ends {length - len(taken)} bytes early")
        self._at += length
        return taken

    def _number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "big")

    def _list_size(self, token: int) -> int:
        if token == _EMPTY:
            return 0
        if token not in {_LIST_8, _LIST_16}:
            raise ValueError(f"a list starts with {token}")
        return self._number(1 if token == _LIST_8 else 2)

    def _content(self) -> bytes | list[Node] | None:
        token = self._number(1)
        if token == _EMPTY:
            return None
        if token in {_LIST_8, _LIST_16}:
            return [self.node() for _ in range(self._list_size(token))]
        if token in {_BINARY_8, _BINARY_20, _BINARY_32}:
            return self._binary(token)
        return str(self._value(token)).encode()

    def _text(self) -> str:
        return str(self._value(self._number(1)))

    def _value(self, token: int) -> str | Jid:
        if token == _EMPTY:
            return ""
        if token in {_BINARY_8, _BINARY_20, _BINARY_32}:
            return self._binary(token).decode()
        if _DOUBLE_FIRST <= token <= _DOUBLE_LAST:
            return self._words.double[token - _DOUBLE_FIRST][self._number(1)]
        if token == _JID_PAIR:
            user = self._text()
            return Jid(user, self._text())
        if token == _DEVICE_JID:
            domain, device = self._number(1), self._number(1)
            return Jid(self._text(), _DOMAINS.get(domain, f"domain{domain}"), device)
        if token in _DIGITS:
            return self._packed(_DIGITS[token])
        if token < len(self._words.single):
            return self._words.single[token]
        raise ValueError(f"a stanza holds the unknown token {token}")

    def _binary(self, token: int) -> bytes:
        if token == _BINARY_20:
            return self._take(self._number(3) & 0xFFFFF)
        return self._take(self._number(1 if token == _BINARY_8 else 4))

    def _packed(self, digits: str) -> str:
        head = self._number(1)
        text = "".join(digits[byte >> 4] + digits[byte & 15] for byte in self._take(head & 127))
        return text[:-1] if head >> 7 else text
