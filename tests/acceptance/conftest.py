"""The places in which everything here is tried."""

from __future__ import annotations

import pytest

from tests.acceptance.containers import in_containers
from tests.acceptance.embedded import embedded


@pytest.fixture(scope="module", params=["embedded", pytest.param("containers", marks=pytest.mark.docker)])
def place(request, tmp_path_factory):
    """An installation, by whatever kind."""
    folder = tmp_path_factory.mktemp("acceptance")
    if request.param == "containers":
        made = in_containers(request.getfixturevalue("installation"), folder)
    else:
        servers = [request.getfixturevalue(name) for name in ("server_url", "platform_template", "valkey_url")]
        made = embedded(*servers, folder)
    with made as place:
        yield place
