"""Watches what the extension does to memory."""
