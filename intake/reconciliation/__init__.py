"""Reconciliation: a sender's list of its referrals held against ours, both ways."""
