"""Legal gates: what law keeps from being mediated, refusals on record, and their review."""
