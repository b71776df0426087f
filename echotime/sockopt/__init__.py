"""Socket options by name: one catalogue, their values as text, setting them and reading back what the kernel did.

Needs the standard library only; knows neither Twisted nor the services.
"""
