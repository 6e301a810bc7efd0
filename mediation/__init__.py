"""Mediation: queues, mediators, consent, sessions, agreements and their performance."""
