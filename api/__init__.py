"""HTTP: FastAPI routers and models over the engine; the same app behind Functions and behind
uvicorn.
"""
