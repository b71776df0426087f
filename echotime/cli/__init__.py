"""Implement the tool `echotime`: one module per subcommand, and a package for `echotime control`."""
