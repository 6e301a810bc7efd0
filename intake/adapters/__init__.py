"""Adapters as data: a sender's own export becomes canonical referrals by a mapping file."""
