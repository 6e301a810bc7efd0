"""What a running service must not import: it costs every start."""

import subprocess
import sys

import pytest

from services.service import NAMES
from tests.architecture.source import ROOT


@pytest.mark.parametrize("name", NAMES)
def test_a_running_service_imports_no_sqlalchemy(name: str) -> None:
    script = (
        "import sys\n"
        "from services.service import load\n"
        f"load({name!r})\n"
        "import services.app, services.messaging.worker\n"
        "sys.exit('sqlalchemy' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)

    assert done.returncode == 0
