"""Small records behind a port: organizations, policies, runs, leases, resources, ledger, audit."""
