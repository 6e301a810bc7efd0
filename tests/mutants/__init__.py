"""Seeded faults, each of which one crash test must catch: ``python -m tests.mutants``."""
