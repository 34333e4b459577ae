"""The child process. What it is told comes on stdin, what it tells goes to stdout; the log is stderr."""

from __future__ import annotations

from nanokimi_transport_whatsapp.child.streams import take_streams


def main() -> None:
    """Take stdout away from every library before one is loaded, then begin."""
    streams = take_streams()

    from nanokimi_transport_whatsapp.child.main import run

    run(streams)


if __name__ == "__main__":
    main()
