"""The tool `echotime`: a module for each subcommand; those of `echotime control` are in control/."""
