"""The appetite of notification: every event of every service, its own too."""

from typing import Final

from notification.erasing import obey
from notification.handlers import hear
from services.access import PARTICIPATION_HANDLERS
from services.events import load_catalogue
from services.events.intake import CaseErased
from services.events.routing import ParticipantJoined, ParticipantLeft
from services.service import Subscription, on

_PARTICIPATION: Final = {s.event: s for s in PARTICIPATION_HANDLERS}

# A joining is recorded before it is heard and a leaving after it: so both are heard by whom they
# concern. Events of a closed case or an older round still go into the feeds; they change nothing.
CONSUMES: Final[tuple[Subscription, ...]] = (
    _PARTICIPATION[ParticipantJoined],
    *(on(spec.model, hear, even_when_closed=True) for spec in load_catalogue().values()),
    _PARTICIPATION[ParticipantLeft],
    on(CaseErased, obey, even_when_closed=True),
)
