"""What was backed up comes back: schemas that Postgres itself can dump and restore, one kind of trouble each."""

from __future__ import annotations

import pytest

from tests.jobs.kinds.test_backups import Shop

pytestmark = pytest.mark.gpg


@pytest.fixture
def shop(life):
    made = Shop(life)
    yield made
    made.leave()


# What the server prints otherwise once it has parsed its own text.
WRITTEN_OTHERWISE = """
CREATE TABLE o (id int PRIMARY KEY, status varchar(255) CHECK (status IN ('NEW', 'PAID')), lat float8, lng float8,
    CHECK (lat BETWEEN -90 AND 90 AND lng BETWEEN -180 AND 180), kind varchar(9) DEFAULT 'a');
CREATE INDEX o_open ON o ((status IN ('NEW', 'PAID'))) WHERE status IN ('NEW', 'PAID');
CREATE DOMAIN state AS varchar(20) CHECK (VALUE IN ('on', 'off'));
ALTER TABLE o ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON o TO anon USING (status IN ('NEW', 'PAID')) WITH CHECK (lat BETWEEN -1 AND 1 AND lng BETWEEN 2 AND 3);
CREATE VIEW paid AS SELECT * FROM o WHERE status IN ('PAID', 'SENT') AND lat BETWEEN -1 AND 1 AND lng BETWEEN -2 AND 2;
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER told BEFORE UPDATE ON o FOR EACH ROW WHEN (NEW.status IN ('NEW', 'PAID')) EXECUTE FUNCTION told();
CREATE RULE r AS ON DELETE TO o WHERE OLD.status IN ('NEW', 'PAID') DO INSTEAD NOTHING;
CREATE FUNCTION d(a boolean DEFAULT 'a'::varchar IN ('a'::varchar, 'b'::varchar)) RETURNS boolean LANGUAGE sql
    RETURN a AND 'x'::varchar IN ('x'::varchar, 'y'::varchar);
INSERT INTO o VALUES (1, 'NEW', 1, 1), (2, 'PAID', -90, 180);
"""


def test_expressions_that_are_written_otherwise_once_they_were_parsed_anew_come_back(shop):
    shop.sql(WRITTEN_OTHERWISE)
    backup = shop.back_up()
    for job in (shop.verify(backup), shop.restore(backup)):
        assert (job.status, job.error) == ("succeeded", None)
        assert "remarks" not in job.result
    assert shop.sql("SELECT count(*) FROM o") == (2,)
