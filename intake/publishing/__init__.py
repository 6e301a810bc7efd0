"""The public version of a case: coarse facts, with every party's consent, never of few cases."""
