"""Shell completion for bash and zsh, made from the parsers: ``python -m echotime.completion etc/completion``.

What can be given is said once, where it is declared. Not imported when echotime runs.
"""
