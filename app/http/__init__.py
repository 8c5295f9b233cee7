"""What every route shares: routing, who asks, reading a request, answering, problems."""
