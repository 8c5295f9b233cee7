"""The job domain: kinds, steps, states, leases. Knows neither HTTP nor the broker."""
