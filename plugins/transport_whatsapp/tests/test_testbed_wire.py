"""The testbed's own formats: what it writes can be read, and what it signs is signed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whatsapp_testbed.codec import Codec
from whatsapp_testbed.curve import KeyPair, verifies
from whatsapp_testbed.fields import integer, octets, packed, unpacked
from whatsapp_testbed.server import REDIRECT
from whatsapp_testbed.stanzas import Jid, Node
from whatsapp_testbed.tokens import Words, dictionary

WORDS = Words(("", "xmlstreamstart", "xmlstreamend", "s.whatsapp.net", "type", "message", "lid"), (("read-self",),) * 4)
CODEC = Codec(WORDS)

_words = st.sampled_from(["message", "type", "enc", "é", "x" * 300]) | st.text(min_size=1, max_size=8)
_jids = st.builds(Jid, st.from_regex(r"[0-9]{1,15}", fullmatch=True), st.just("lid"), st.integers(0, 99))
_attributes = st.dictionaries(_words, _words | _jids, max_size=4)
_leaves = st.builds(Node, _words, _attributes, st.none() | st.binary(max_size=300))
_nodes = st.recursive(
    _leaves, lambda inner: st.builds(Node, _words, _attributes, st.lists(inner, min_size=1, max_size=4)), max_leaves=12
)


@settings(max_examples=50)
@given(_nodes)
def test_a_stanza_reads_as_it_was_written(node: Node) -> None:
    assert CODEC.decode(CODEC.encode(node)) == node


def test_a_stanza_that_ends_early_is_refused() -> None:
    whole = CODEC.encode(Node("message", {"id": "3EB0"}, b"sealed"))

    with pytest.raises(ValueError, match="ends 1 bytes early"):
        CODEC.decode(whole[:-1])


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 2**63) | st.binary(max_size=300)))
def test_protobuf_fields_read_as_they_were_written(fields: dict[int, int | bytes]) -> None:
    read = unpacked(packed(fields))

    assert read == fields
    assert all(
        octets(read, number) == value if isinstance(value, bytes) else integer(read, number) == value
        for number, value in fields.items()
    )


def test_a_signature_holds_for_its_message_and_its_key_only() -> None:
    key, other = KeyPair(), KeyPair()
    signature = key.sign(b"a letter")

    assert verifies(key.public, b"a letter", signature)
    assert not verifies(key.public, b"another letter", signature)
    assert not verifies(other.public, b"a letter", signature)


@pytest.mark.whatsapp
def test_the_dictionary_of_the_installed_library_is_found() -> None:
    words = dictionary()

    assert words.single[3] == "s.whatsapp.net"
    assert {"message", "receipt", "participants"} <= set(words.single)
    assert [len(table) for table in words.double] == [256] * 4
    assert all(word for table in words.double for word in table)


def test_another_sitecustomize_further_down_the_path_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.seen_by_the_other = True")
    environment = os.environ | {"PYTHONPATH": f"{REDIRECT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", "import sys; print(sys.seen_by_the_other)"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "True"
