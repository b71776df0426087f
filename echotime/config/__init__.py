"""The daemon's options: declared, parsed from the command line and a file, and checked."""
