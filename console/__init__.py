"""Pages: server-rendered Jinja2 and a vendored htmx over the same engine calls as the API; no build
step.
"""
