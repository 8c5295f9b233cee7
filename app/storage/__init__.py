"""The Storage service: every project's files, as `supabase.storage` and other clients ask for them."""
