"""Receipts in people's hands: the paper, the way to follow a case, and what replaces a lost one."""
