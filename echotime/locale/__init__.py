"""The catalogues of messages: a .po each, edited by hand, from which the package build makes the .mo."""
