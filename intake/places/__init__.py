"""The place of a dispute from an address in words."""
