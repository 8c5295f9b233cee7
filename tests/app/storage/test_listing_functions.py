"""The listing functions of schema storage, as SQL and other tools call them."""

from __future__ import annotations

import random

import pytest

from tests.fixtures.projects import drop, new_tenant

NAMES = ["a.txt", "A.TXT", "b/1.txt", "b/2/3.txt", "b-x.txt", "c%d/x.txt", "c_d/x.txt", "cXd/x.txt", "z.txt"]


@pytest.fixture(scope="module")
def rows(cluster):
    tenant = new_tenant(cluster)
    with tenant.connect(tenant.roles.storage) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('docs', 'docs')")
        for name in NAMES:
            connection.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('docs', %s)", (name,))
        yield connection
    drop(cluster, tenant.id)


def found(rows, prefix, **more):
    chosen = {"limits": 100, "offsets": 0, "search": "", "sortcolumn": "name", "sortorder": "asc"} | more
    return [
        name
        for (name, *_) in rows.execute(
            "SELECT * FROM storage.search(%(prefix)s, 'docs', %(limits)s, 1, %(offsets)s, %(search)s, %(sortcolumn)s,"
            " %(sortorder)s)",
            {"prefix": prefix, **chosen},
        ).fetchall()
    ]


def test_a_folder_is_one_entry_beside_the_objects(rows):
    assert found(rows, "") == ["A.TXT", "a.txt", "b-x.txt", "b", "c%d", "c_d", "cXd", "z.txt"]
    assert found(rows, "", sortorder="desc") == ["z.txt", "cXd", "c_d", "c%d", "b", "b-x.txt", "a.txt", "A.TXT"]


def test_names_below_a_prefix_are_relative_to_it(rows):
    assert found(rows, "b/") == ["1.txt", "2"]
    assert found(rows, "B/") == ["1.txt", "2"]
    assert found(rows, "", search="b/2/") == ["b/2/3.txt"]


@pytest.mark.parametrize(("prefix", "name"), [("c_d/", "x.txt"), ("c%d/", "x.txt")])
def test_wildcards_of_like_are_letters_like_others(rows, prefix, name):
    assert found(rows, prefix) == [name]
    assert len(found(rows, "", search=prefix[:2])) == 1


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_join_to_the_whole_listing(rows, order):
    whole = found(rows, "", sortorder=order)
    assert [found(rows, "", limits=1, offsets=at, sortorder=order) for at in range(9)] == [*([n] for n in whole), []]


def test_folders_come_before_objects_that_are_sorted_by_time(rows):
    listed = found(rows, "", sortcolumn="created_at", sortorder="desc")
    assert listed == ["c_d", "cXd", "c%d", "b", "z.txt", "b-x.txt", "A.TXT", "a.txt"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("prefix", ["", "t/", "T/u/"])
def test_each_object_of_a_level_is_sorted_by_its_time_and_each_folder_is_there_once(rows, prefix, order):
    draw = random.Random(f"{prefix}{order}")
    names = {"".join(draw.choice("ab/0tuTU") for _ in range(draw.randrange(1, 6))) for _ in range(300)}
    with rows.transaction(force_rollback=True):
        for number, name in enumerate(sorted(names, key=lambda _name: draw.random())):
            rows.execute(
                "INSERT INTO storage.objects (bucket_id, name, created_at) VALUES ('docs', %s, to_timestamp(%s))",
                (f"t/{name}", 5_000_000_000 + number),
            )
        known = dict(rows.execute("SELECT name, created_at FROM storage.objects WHERE bucket_id = 'docs'").fetchall())
        listed = found(rows, prefix, limits=1500, sortcolumn="created_at", sortorder=order)
    below = {name: name[len(prefix) :] for name in known if name.lower().startswith(prefix.lower())}
    objects = [name for name, rest in below.items() if "/" not in rest]
    objects.sort(key=lambda name: known[name], reverse=order == "desc")
    assert listed[len(listed) - len(objects) :] == [below[name] for name in objects]
    # Folders that differ by the size of letters alone are one.
    folders = [name.lower() for name in listed[: len(listed) - len(objects)]]
    assert sorted(folders) == sorted({rest.partition("/")[0].lower() for rest in below.values() if "/" in rest})


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", ["name", "created_at"])
def test_pages_behind_a_key_join_to_the_whole_listing(rows, order, column):
    ask = "SELECT * FROM storage.search_v2('', 'docs', %s, 1, %s, %s, %s, %s)"
    whole = rows.execute(ask, (100, "", order, column, "")).fetchall()
    assert {name for (_, name, *_) in whole} == {
        "A.TXT", "a.txt", "b-x.txt", "b/", "c%d/", "c_d/", "cXd/", "z.txt",
    }  # fmt: skip
    paged, after, at = [], "", ""
    while page := rows.execute(ask, (1, after, order, column, at)).fetchall():
        paged += page
        after, at = page[-1][1], str(page[-1][4] or "")
    assert paged == whole


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_object_that_is_called_as_a_folder_would_end_is_listed_beside_it(rows, order):
    ask = "SELECT name FROM storage.search_v2(%s, 'docs', 100, 1, %s, %s)"
    names = ["y/1", "y0", "y", "y/2/3", "Y/4"]
    with rows.transaction(force_rollback=True):
        for name in names:
            rows.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('docs', %s)", (name,))
        whole = [name for (name,) in rows.execute(ask, ("y", "", order)).fetchall()]
        assert sorted(whole) == ["y", "y/", "y0"]
        behind = [name for (name,) in rows.execute(ask, ("y", "y/", order)).fetchall()]
        assert behind == whole[whole.index("y/") + 1 :]
        assert set(found(rows, "", search="y", sortorder=order)) >= {"y", "y0"}


def test_rows_are_not_deleted_by_hand(rows):
    with pytest.raises(Exception, match="Use the Storage API"):
        rows.execute("DELETE FROM storage.objects")


def test_a_listing_reads_the_index_below_row_security_too(rows, cluster):
    rows.execute("CREATE POLICY p ON storage.objects FOR SELECT TO anon USING (left(name, 1) <> '')")
    try:
        with rows.transaction(force_rollback=True):
            rows.execute("SET LOCAL enable_seqscan = off")
            role = rows.info.user.replace("_storage", "_anon")
            rows.execute(f"SET LOCAL ROLE {role}")
            plan = rows.execute(
                "EXPLAIN SELECT FROM storage.objects o WHERE bucket_id = 'docs'"
                " AND launchdb.lower_key(o.name) COLLATE \"C\" >= 'b' AND launchdb.lower_key(o.name) COLLATE \"C\" < 'c'"
            ).fetchall()
    finally:
        rows.execute("DROP POLICY p ON storage.objects")
    assert any("Index Cond" in line and "lower_key" in line for (line,) in plan), plan
