"""Sessions: when, where and with whom; attendance; sealed notes."""
