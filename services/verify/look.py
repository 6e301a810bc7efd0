"""One look: the snapshots and the ends of the topics that belong to the same moment."""

from dataclasses import dataclass

from services.verify.canaries import Scanner
from services.verify.databases import Databases
from services.verify.run import Run
from services.verify.topics import Places, Topics


@dataclass
class Look:
    """What every check is given."""

    run: Run
    databases: Databases
    topics: Topics
    places: Places
    scanner: Scanner
    # Whether everything had come to rest: what is unpublished or unheard then stays so for ever.
    quiet: bool = True
    events: int = 0
