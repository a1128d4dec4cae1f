"""One coherent demo world for all ten capabilities: no credentials, no network."""
