"""The daemon's options: declared once, parsed from the command line and a file, and checked."""
