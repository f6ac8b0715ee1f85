"""Tests of what we know about Microsoft 365."""
