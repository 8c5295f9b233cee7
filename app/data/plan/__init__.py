"""What a request means in a schema: tables, relationships, embedding, the plan."""
