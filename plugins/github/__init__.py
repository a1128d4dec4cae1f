"""The github adapter."""
