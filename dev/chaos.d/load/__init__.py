"""Producers that keep a ledger of what they sent."""
