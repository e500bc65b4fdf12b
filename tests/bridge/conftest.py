"""Makes the stub environment known to workers, which import what they are to build by name."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stub_env():
    sys.path.append(str(Path(__file__).parent))
    import stub_env

    yield stub_env
    sys.path.remove(str(Path(__file__).parent))
