"""What the contract wants of a transport: ``suite`` has the checks, the others a part of them each."""
