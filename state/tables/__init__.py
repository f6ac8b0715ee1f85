"""The adapters of the tables port: one SQLite file on a laptop, Table Storage in Azure."""
