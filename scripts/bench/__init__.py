"""Benches: each compares with a floor in the same run and prints figures; none of them is a test."""
