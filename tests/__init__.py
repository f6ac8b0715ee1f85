"""Tests. This file must exist: azure-functions-durable installs a top-level package `tests` too."""
