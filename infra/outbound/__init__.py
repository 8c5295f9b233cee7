"""Requests to servers of the internet that tenants name: none of them leads back into the operator's own networks."""
