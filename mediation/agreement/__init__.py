"""Agreements: clauses, one frozen text, signatures and the instant of effect."""
