"""The person's rights: correction, copy, consent to share, erasure and how long things are kept."""
