"""Tests of the app without Azure."""
