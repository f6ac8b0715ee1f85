"""The wire to Microsoft Graph: client, auth, throttle, delta, batch, upload, errors; the only HTTP here."""
