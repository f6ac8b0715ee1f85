"""Benchmarks: what a backup costs in requests, storage operations, memory and processor time.

Law: a benchmark drives the product as its stories do, in a process of its own; the tenant it reads
runs in another one, so that its cost is not ours. docs/performance.md says how figures are read.
"""
