"""The attacks. Each is a function that starts daemons of its own and yields figures; its docstring names the threat."""
