"""The command line: a client of the API, and recovery from a vault without a server."""
