"""Papers of a case: taken in parts, checked before anybody sees them, sealed, opened by purpose."""
