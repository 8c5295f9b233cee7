-- What a project was when its deletion was asked for: as that it serves on when the deletion is called off.
ALTER TABLE projects ADD COLUMN status_before text;
