"""The queue: offers to an organisation, accepted, returned, objected to, ended."""
