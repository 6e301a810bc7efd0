"""What was registered and never became a case, refusals and matters: how long it is kept, and its
erasure."""
