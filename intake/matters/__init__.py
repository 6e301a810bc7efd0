"""Matters: what comes in and is no dispute; each has its exit, its receipt and its answer."""
