"""`echotime ...`: one module a subcommand, on argparse. All that a person reads is said here, through gettext."""
