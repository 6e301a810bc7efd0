"""How two cases belong together. Pure."""

from typing import Final, Literal

Kind = Literal["counterclaim", "same_relation", "same_parties", "follow_up"]
# A claim of the other side; one contract or fact; the same people about another thing; a later
# matter that grew out of an earlier one (design 4: later than the limit a new, linked case).
KINDS: Final[tuple[str, ...]] = ("counterclaim", "same_relation", "same_parties", "follow_up")
SEES: Final = ("source", "handler")
