"""Obligations: what an agreement promises, performed or broken one by one."""
