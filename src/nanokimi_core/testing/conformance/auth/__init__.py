"""What the contract wants of an auth plugin: ``suite`` has the checks, the others a part of them each."""
