"""The same app without Azure: durable host, timers, server, demo."""
