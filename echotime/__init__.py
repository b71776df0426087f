"""echotime: TCP echo-with-reply and UDP time, with socket options settable by name and read back."""

__version__ = "0.1.0"
