"""The command line: a client of the API, and offline recovery. It has no verbs yet."""
