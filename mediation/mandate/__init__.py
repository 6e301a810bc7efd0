"""Mandates (代办): who files for a party, as intake tells it; each act under one is marked."""
