"""Tests of the benchmarks: that they measure what they say, on a tenant that is quick to copy."""
