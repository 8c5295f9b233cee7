"""RSYNC_DEST: `user@host:path` and nothing else."""

from __future__ import annotations

import pytest

from config.settings import SettingsError, load


@pytest.mark.parametrize(
    "text",
    [
        "backup@host.example.org:/srv/launchdb",
        "backup@host:launchdb",
        "u@10.0.0.7:~/copies/of launchdb",
        "u@[::1]:/srv",
    ],
)
def test_a_destination_is_taken_as_it_stands(text):
    assert load({"RSYNC_DEST": text}, recall=False).rsync_dest == text


@pytest.mark.parametrize(
    "text",
    [
        "-e sh x",
        "--rsh=sh@host:/srv",
        "user@-oProxyCommand=sh:/srv",
        "host:/srv",
        "/srv/local",
        "user@host",
        "user@host:",
        "user@host:-x",
        "user@host::module",
        "rsync://user@host/module",
        "user@host:/srv/$(id)",
        "user@host:/srv;id",
        "user@host:/srv\n",
        "user@host:/srv/../etc",
        "user name@host:/srv",
        "user@ho st:/srv",
        "Ünal@host:/srv",
    ],
)
def test_what_a_program_could_misread_is_refused(text):
    with pytest.raises(SettingsError, match="RSYNC_DEST"):
        load({"RSYNC_DEST": text}, recall=False)
