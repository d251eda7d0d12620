"""Runs untrusted programs; see ``runner`` for what is promised and what is not."""
