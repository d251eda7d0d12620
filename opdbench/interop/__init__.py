"""Bridges to other evaluation programs. Each is an extra, imported only inside the functions that need it."""
