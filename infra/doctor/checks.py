"""Every check, by importing it."""

from infra.doctor import access, engine, folders, machine, pooler_file, reach

MODULES = (machine, access, engine, reach, folders, pooler_file)
