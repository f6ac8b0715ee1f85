"""Templates to pages: autoescape on, and the few filters that make values readable."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from base.errors import Problem

_UNITS = ("B", "KB", "MB", "GB", "TB")


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template of console/templates."""
    return HTMLResponse(_environment.get_template(template).render(**values), status_code=status)


def problem_page(problem: Problem) -> HTMLResponse:
    """An error as a page, with what to do about it."""
    return render("problem.html", status=problem.status, problem=problem, back="/")


def as_bytes(count: Any) -> str:
    """1536 as 1.5 KB."""
    size = float(count or 0)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""


def as_time(text: Any) -> str:
    """An ISO time as 2026-11-24 06:05; the pages say that all times are UTC."""
    if not text:
        return "—"
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M}"
    except ValueError:
        return str(text)


def as_cell(value: Any, kind: str) -> str:
    """A column's value by the type its service names."""
    match kind:
        case "bytes":
            return as_bytes(value)
        case "datetime":
            return as_time(value)
        case "address":
            return _name_of(value)
        case "addresses":
            return ", ".join(map(_name_of, value or ()))
        case "flag":
            return "yes" if value else "no"
        case "count":
            return str(value or "")
        case _:
            return str(value or "")


def _name_of(address: Any) -> str:
    """ "Ada <ada@contoso.com>" as Ada; an address alone as it is."""
    name, _, rest = str(address or "").partition(" <")
    return name if rest else str(address or "")


def _url(text: Any) -> str:
    return quote(str(text), safe="")


def _made() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bytes": as_bytes, "time": as_time, "cell": as_cell, "url": _url}
    return environment


_environment = _made()
