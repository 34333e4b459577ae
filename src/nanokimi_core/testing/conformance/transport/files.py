"""What the contract wants of a transport whose network carries files."""

from __future__ import annotations

from nanokimi_core.messages import Attachment
from nanokimi_core.testing.conformance.checks import check, expect, saw
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.abilities import BringsFiles, ShowsFiles
from nanokimi_core.testing.conformance.transport.driven import connected
from nanokimi_core.testing.conformance.transport.inbox import Brought

_DATA = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
_OUTSIDE = "outside.txt"
_HOSTILE = (f"../{_OUTSIDE}", f"../../{_OUTSIDE}", f"a/{_OUTSIDE}", "..", ".", "", "a\0b", "n" * 300)


class _Bringing(TransportRig, BringsFiles): ...


class _Showing(TransportRig, ShowsFiles): ...


@check("transport", "write_file")
async def brings_files(rig: _Bringing) -> None:
    """A file lies under context.folder when its message is delivered, whole, with its name and its size."""
    async with connected(rig) as it:
        for number in range(2):  # of one name: the first mustn't become the second
            data = _DATA + bytes([number])
            await rig.write_file("plan.png", data, f"look at {number}")
            message = await it.heard(f"look at {number}")
            expect(len(message.attachments) == 1, f"one file was sent, and {len(message.attachments)} came")
            brought = it.record.brought(message)
            expect(brought.inside, f"the file lies at {brought.attachment.path}, outside of context.folder")
            expect(brought.data is not None, f"there is no file at {brought.attachment.path}")
            _compare(brought, "plan.png", data)


def _compare(brought: Brought, name: str, data: bytes) -> None:
    said, there = brought.attachment, brought.data or b""
    expect(said.name == name, f'its name is "{said.name}", not "{name}"')
    expect(there == data, f"{len(there)} bytes came of {len(data)}, or others than were sent")
    expect(said.size == len(there), f"its size is said to be {said.size}, and is {len(there)}")
    expect("/" in said.media_type, f'its media type is "{said.media_type}"')


@check("transport", "write_file")
async def takes_no_name_for_a_path(rig: _Bringing) -> None:
    """Whatever a file is called, its message comes, and nothing is written outside of context.folder."""
    async with connected(rig) as it:
        for number, name in enumerate((*_HOSTILE, str(rig.folder / _OUTSIDE))):
            await rig.write_file(name, _DATA, f"number {number}")
            await it.heard(f"number {number}")
        own = rig.contexts["tried"].folder
        if astray := [path for path in rig.folder.rglob(_OUTSIDE) if not path.is_relative_to(own)]:
            saw(f"{astray[0]} was written, outside of context.folder")


@check("transport", "shown_files")
async def sends_files(rig: _Showing) -> None:
    """Files of an Outbound arrive, whole and under their names."""
    sent = [("plan.png", _DATA), ("list.txt", b"one\ntwo\n")]
    attachments = []
    for name, data in sent:
        path = rig.folder / f"for-{name}"
        path.write_bytes(data)
        attachments.append(Attachment(name, "application/octet-stream", path, len(data)))
    async with connected(rig) as it:
        await it.send("here they are", attachments=tuple(attachments))

        async def there() -> bool:
            return len(await rig.shown_files(rig.chat)) >= len(sent)

        await it.until(there, "the files were not shown")
        for (name, data), (seen_name, seen) in zip(sent, await rig.shown_files(rig.chat), strict=True):
            expect(seen_name == name, f'"{name}" arrived as "{seen_name}"')
            expect(bytes(seen) == data, f"of {name}, {len(seen)} bytes arrived of {len(data)}, or others")


FILE_CHECKS = (brings_files, takes_no_name_for_a_path, sends_files)
