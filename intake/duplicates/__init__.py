"""Whether two files may be about one dispute: found by machine, decided by people."""
