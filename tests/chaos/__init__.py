"""A steady load of whole lifecycles, random faults, and the outside checker's verdict."""
