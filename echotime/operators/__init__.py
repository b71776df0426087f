"""Operators who type replies: the reply queue, and operators at standard input and a terminal."""
