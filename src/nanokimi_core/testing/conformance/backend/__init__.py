"""What the contract wants of a backend: ``suite`` has the checks, the others a part of them each."""
