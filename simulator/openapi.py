"""Checks requests against Graph's OpenAPI documents, when the environment names them."""

from simulator.web import Request


class Documents:
    """The OpenAPI documents."""

    def problem(self, request: Request) -> str | None:
        """What is wrong with a request; None when nothing is."""
        return None


def from_environment() -> Documents | None:
    """The documents HOLDFAST_GRAPH_OPENAPI names, separated as PATH is."""
    return None
