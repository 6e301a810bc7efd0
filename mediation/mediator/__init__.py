"""The roster: an organisation's staff and who of them may mediate a case."""
