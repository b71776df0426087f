"""Message catalogues, and the choice of the user's language."""
