"""The HTTP side: a Flask application whose routes are the rows of the capability table."""
