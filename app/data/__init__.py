"""The data API: PostgREST's contract, answered from this process for one database or for all projects."""
