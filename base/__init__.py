"""What every room may lean on: errors, messages, ids, clock, settings, log. Standard library and
pydantic only.
"""
