"""The elasticsearch adapter."""
