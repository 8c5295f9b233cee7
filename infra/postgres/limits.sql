-- name: search_path
ALTER DATABASE {database} SET search_path = "$user", public, extensions;

-- name: database_setting
ALTER DATABASE {database} SET {setting} = {value};

-- name: limit_login
ALTER ROLE {login} CONNECTION LIMIT {sessions};

-- name: limit_database
ALTER DATABASE {database} CONNECTION LIMIT {sessions};
