"""What the transport is tried with: a real server, people on it, and a line between that can break."""
