"""Standard input and output in the reactor, for the tools and for an operator."""
