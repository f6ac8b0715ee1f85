"""What the product does: the one place where the tenant (m365), the vault and the records (state)
meet.
"""
