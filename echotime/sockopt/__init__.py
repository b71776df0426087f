"""Socket options: the catalogue, values as text, setting and reading back. Uses the standard library only."""
