"""The proceeding: one organisation's mediation of a case, its consents and its end."""
