"""$filter, $orderby and paging of plain lists of messages, as far as Exchange documents them."""

import re
from collections.abc import Callable
from urllib.parse import quote

from simulator.extended import property_value
from simulator.mailbox import Message
from simulator.web import GraphError, Json, Request

_PAGE = 10
_PAGE_MAX = 1000
_TERM = re.compile(
    r"(?P<name>[A-Za-z/]+)\s+(?P<op>eq|ne|ge|gt|le|lt)\s+(?P<value>'(?:[^']|'')*'|[^\s()']+)"
)
_ANY = re.compile(
    r"singleValueExtendedProperties/any\(\s*(?P<x>\w+)\s*:\s*(?P=x)/id\s+eq\s+'(?P<id>(?:[^']|'')*)'"
    r"\s+and\s+(?P=x)/value\s+(?P<op>eq|ne)\s+(?P<value>'(?:[^']|'')*'|null)\s*\)",
    re.IGNORECASE,
)
_DATES = ("receivedDateTime", "sentDateTime", "createdDateTime", "lastModifiedDateTime")
_PLAIN = ("isRead", "isDraft", "hasAttachments", "internetMessageId", "subject", "importance",
          "conversationId")  # fmt: skip
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "lt": lambda a, b: a < b,
}  # fmt: skip


def matcher(text: str) -> Callable[[Message], bool]:
    """A $filter as a function; terms joined by "and"; 400 for what is not understood."""
    tests: list[Callable[[Message], bool]] = []
    rest = text.strip()
    while rest:
        test, rest = _one(rest)
        tests.append(test)
        if not rest:
            break
        if not rest.lower().startswith("and "):
            raise _invalid(text)
        rest = rest[4:].strip()
    if not tests:
        raise _invalid(text)
    return lambda message: all(test(message) for test in tests)


def _one(text: str) -> tuple[Callable[[Message], bool], str]:
    found = _ANY.match(text)
    if found is not None:
        name, value = found["id"].replace("''", "'"), found["value"]
        expected = None if value == "null" else value[1:-1].replace("''", "'")
        equal = found["op"] == "eq"
        rest = text[found.end() :].strip()
        return (lambda message: (property_value(message, name) == expected) is equal), rest
    found = _TERM.match(text)
    if found is None:
        raise _invalid(text)
    return _term(found["name"], found["op"], found["value"], text), text[found.end() :].strip()


def _term(name: str, op: str, value: str, text: str) -> Callable[[Message], bool]:
    if name in _DATES and not value.startswith("'"):
        expected = value
    elif name in _PLAIN and op in ("eq", "ne"):
        expected = value[1:-1].replace("''", "'") if value.startswith("'") else value.lower()
    else:
        raise _invalid(text)

    def test(message: Message) -> bool:
        actual = message.has_attachments if name == "hasAttachments" else None
        actual = message.properties.get(name) if actual is None else actual
        shown = str(actual).lower() if isinstance(actual, bool) else str(actual or "")
        return _COMPARE[op](shown, expected)

    return test


def in_order(messages: list[Message], orderby: str | None) -> list[Message]:
    """$orderby; newest first when nothing is asked."""
    name, _, direction = (orderby or "receivedDateTime desc").strip().partition(" ")
    if name not in (*_DATES, "subject") or direction.strip().lower() not in ("", "asc", "desc"):
        raise GraphError(400, "ErrorInvalidUrlQueryOrderBy", "The $orderby is not supported.")
    down = direction.strip().lower() == "desc"
    return sorted(messages, key=lambda m: str(m.properties.get(name) or ""), reverse=down)


def page_bounds(request: Request) -> tuple[int, int]:
    """(skip, size) of a plain list."""
    preferred = request.prefer("odata.maxpagesize")
    default = int(preferred) if preferred and preferred.isdigit() else _PAGE
    skip = request.query.get("$skip", "0")
    if not skip.isdigit():
        raise GraphError(400, "BadRequest", f"Invalid value '{skip}' for $skip.")
    return int(skip), request.whole("$top", max(1, min(default, _PAGE_MAX)), _PAGE_MAX)


def with_next(request: Request, path: str, values: list[Json], total: int, body: Json) -> Json:
    """The body of one page with its nextLink; path is without version, e.g. /users/…/messages."""
    skip, size = page_bounds(request)
    if request.query.get("$count", "").lower() == "true":
        body["@odata.count"] = total
    body["value"] = values
    if skip + size < total:
        query = request.query | {"$skip": str(skip + size)}
        text = "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in query.items())
        body["@odata.nextLink"] = f"{request.url_base}{path}?{text}"
    return body


def _invalid(text: str) -> GraphError:
    return GraphError(
        400, "ErrorInvalidUrlQueryFilter", f"The query filter contains an error near '{text}'."
    )
