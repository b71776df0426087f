"""Attack the daemon: each function here starts daemons, yields figures, and names its threat in its docstring."""
