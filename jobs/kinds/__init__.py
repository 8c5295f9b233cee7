"""Every job kind, one file each; importing this package registers them all."""

from jobs.kinds.delete import DeleteProject
from jobs.kinds.provision import ProvisionProject

__all__ = ["DeleteProject", "ProvisionProject"]
