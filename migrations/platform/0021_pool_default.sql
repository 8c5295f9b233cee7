-- What an operator has set for all projects, those to come included.
CREATE TABLE pool_default (
    id        boolean PRIMARY KEY DEFAULT true CHECK (id),
    pool_size integer NOT NULL CHECK (pool_size BETWEEN 1 AND 100)
);
