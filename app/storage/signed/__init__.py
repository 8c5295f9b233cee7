"""URLs that stand for a right of whoever had them made: to read one object, or to store one."""
