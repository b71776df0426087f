"""The control socket: commands, server and backend for operators."""
