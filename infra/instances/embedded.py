"""Data-API instances inside the API's own process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.instances.instances import CreatedBy

if TYPE_CHECKING:
    from infra.instances.folders import InstanceFolders
    from infra.instances.instances import InstanceSnapshot, InstanceSpec, Part


class EmbeddedInstances:
    """Instances inside the API's own process, which reads a folder for each: what is written is served."""

    def __init__(self, folders: InstanceFolders) -> None:
        self._folders = folders
        self.fault, self.serves, self.exists = folders.fault, folders.holds, folders.exists
        self.remove, self.list, self.address = folders.remove, folders.list, folders.address

    def snapshot(self) -> InstanceSnapshot:
        """Look at each folder when it is asked for: that costs nothing."""
        return self

    def ensure(self, spec: InstanceSpec, by: CreatedBy = CreatedBy()) -> None:  # noqa: B008 - frozen
        """Ensure that the folder holds exactly this spec's configuration; an equal one is not touched.

        Raises Refused.
        """
        del by
        self._folders.write(spec)

    def ended(self) -> tuple[str, ...]:
        """Nothing of it can end by itself."""
        return ()

    def discard(self, instance_id: str) -> bool:
        """Nothing of it can end by itself."""
        del instance_id
        return False

    def evict_intruders(self) -> tuple[str, ...]:
        """None writes anything: the API's own process does."""
        return ()

    def reload(self, instance_id: str, part: Part) -> None:
        """Nothing: the API sees by itself that a stamp or a file has changed."""

    def needing_reload_signal(self) -> frozenset[str]:
        """None: the API compares the stamp of each schema by itself."""
        return frozenset()

    def wait_for_end(self, after: int, seconds: float) -> tuple[int, str | None]:
        """Nothing of it can end by itself."""
        time.sleep(seconds)
        return after, None

    def close(self) -> None:
        """Nothing is held."""
