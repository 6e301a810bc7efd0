"""What can go wrong here beyond the problems of the chassis."""


class SendingFailed(Exception):
    """A try that did not deliver; ``final`` when trying again is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class SendingUnknown(Exception):
    """Nobody can say whether the channel took the message; it is never sent again silently."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
