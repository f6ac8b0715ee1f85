"""The wire to Microsoft Graph, and the only room that speaks HTTP to it."""
