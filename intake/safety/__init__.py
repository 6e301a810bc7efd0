"""Safety: private screening, what it changes in handling, alerts to the police."""
