"""Places for a vault's blobs: memory, a folder, Azure Blob Storage; each import is optional."""
