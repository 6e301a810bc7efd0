"""Imports: a sender's own export, uploaded or dropped, becomes referrals row by row."""
