-- name: post
SELECT id, queue, ready FROM post_letter(
    %(id)s, %(project)s, %(sealed)s, %(seconds)s::integer, %(void)s, %(job)s, %(version)s::smallint, %(queue)s,
    %(attempts)s::smallint);
