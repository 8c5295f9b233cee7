-- name: count
SELECT count(*) FROM auth.users u {which}

-- name: page
SELECT {columns} FROM auth.users u {which}
 ORDER BY {sort} {direction} NULLS LAST, u.id {direction} LIMIT %(size)s OFFSET %(start)s

-- name: which
WHERE u.email ILIKE %(pattern)s OR u.phone LIKE %(pattern)s OR u.raw_user_meta_data ->> 'full_name' ILIKE %(pattern)s
