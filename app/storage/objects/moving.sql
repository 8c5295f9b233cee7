-- name: move
UPDATE storage.objects
   SET bucket_id = %(bucket)s, name = %(name)s, owner_id = coalesce(%(owner_id)s, owner_id),
       owner = CASE WHEN %(owner_id)s::text ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
                    THEN %(owner_id)s::text::uuid ELSE owner END
 WHERE id = %(id)s;
