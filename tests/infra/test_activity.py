"""When a project was last asked: a file's time, however many ask."""

from __future__ import annotations

import os
import time

from config.settings import load
from infra.instances.activity import FILE, ActivityMark, idle_seconds

PROJECT = "proj_0123456789abcdef"


def test_a_request_is_noted_at_most_once_a_second(tmp_path):
    mark = ActivityMark(tmp_path)
    mark.touch()
    os.utime(tmp_path / FILE, (0, 0))
    mark.touch()
    assert (tmp_path / FILE).stat().st_mtime == 0
    time.sleep(1.05)
    mark.touch()
    assert (tmp_path / FILE).stat().st_mtime > time.time() - 5
    assert (tmp_path / FILE).stat().st_size == 0


def test_a_folder_that_is_gone_or_a_link_refuses_no_request(tmp_path):
    ActivityMark(tmp_path / "gone").touch()
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    os.utime(victim, (0, 0))
    (tmp_path / FILE).symlink_to(victim)
    ActivityMark(tmp_path).touch()
    assert victim.stat().st_mtime == 0


def test_the_last_of_all_notes_counts_and_none_is_not_idleness(tmp_path):
    settings = load({"LAUNCHDB_HOME": str(tmp_path)})
    assert idle_seconds(settings, PROJECT) is None
    for folder, ago in ((settings.instances_folder / PROJECT, 500), (settings.run_folder / "projects" / PROJECT, 100)):
        folder.mkdir(parents=True)
        ActivityMark(folder).touch()
        os.utime(folder / FILE, (time.time() - ago, time.time() - ago))
    assert 95 < idle_seconds(settings, PROJECT) < 110
