"""Webhooks: a connection's feed, brought to an address of its own."""
