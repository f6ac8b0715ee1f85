"""Writes RFC 822 messages byte by byte, as Exchange hands them out.

Rules: lines end in CRLF; nothing is made by the standard library's email package, which a
reader of these messages may use and so could not be tested against itself.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Headers = tuple[tuple[str, str], ...]
_LINE_MAX = 76
_BASE64_SLICE = 57 * 4096


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME part; with children it is a multipart and needs a boundary.

    body is the decoded content, or a function that makes it (a large attachment is held only
    while the message is written).
    """

    content_type: str
    body: bytes | Callable[[], bytes] = b""
    encoding: str = "7bit"
    headers: Headers = ()
    children: tuple["Part", ...] = ()
    boundary: str = ""


def text_part(text: str, subtype: str, charset: str, encoding: str) -> Part:
    """A text part in a charset; encoding is quoted-printable, base64, 8bit or 7bit."""
    body = text.replace("\r\n", "\n").replace("\n", "\r\n").encode(charset)
    return Part(f'text/{subtype}; charset="{charset}"', body, encoding)


def multipart(subtype: str, boundary: str, children: Iterable[Part], extra: str = "") -> Part:
    """A multipart; extra holds further parameters such as `; type="text/html"`."""
    content_type = f'multipart/{subtype};\r\n\tboundary="{boundary}"{extra}'
    return Part(content_type, children=tuple(children), boundary=boundary)


def render(headers: Headers, part: Part) -> bytes:
    """The whole message: headers (already encoded), then the part."""
    out = [_header(name, value) for name, value in headers]
    out.append(b"MIME-Version: 1.0\r\n")
    _write(part, out)
    return b"".join(out)


def render_part(part: Part) -> bytes:
    """One part with its own headers, as a signature covers it."""
    out: list[bytes] = []
    _write(part, out)
    return b"".join(out)


def encoded_words(text: str, charset: str = "utf-8", scheme: str = "B") -> str:
    """RFC 2047: ASCII stays, all else becomes encoded words of at most 75 characters."""
    if text.isascii():
        return text
    step = 10 if charset in ("utf-8", "iso-2022-jp") else 14
    chunks = [text[at : at + step] for at in range(0, len(text), step)]
    return " ".join(_encoded_word(chunk, charset, scheme) for chunk in chunks)


def _encoded_word(text: str, charset: str, scheme: str) -> str:
    raw = text.encode(charset)
    if scheme == "B":
        payload = base64.b64encode(raw).decode("ascii")
    else:
        payload = "".join(
            chr(byte) if chr(byte).isalnum() and byte < 128 else f"={byte:02X}" for byte in raw
        )
    return f"=?{charset}?{scheme}?{payload}?="


def _header(name: str, value: str) -> bytes:
    """Fold at blanks so that lines stay under 78; a token without a blank is not cut."""
    lines: list[str] = []
    line = f"{name}:"
    for token in value.split(" "):
        if len(line) + 1 + len(token) > _LINE_MAX + 1 and line.strip() and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {token}"
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _write(part: Part, out: list[bytes]) -> None:
    out.append(f"Content-Type: {part.content_type}\r\n".encode("ascii"))
    out.extend(f"{name}: {value}\r\n".encode("ascii") for name, value in part.headers)
    if part.children:
        out.append(b"\r\n")
        for child in part.children:
            out.append(f"--{part.boundary}\r\n".encode("ascii"))
            _write(child, out)
            out.append(b"\r\n")
        out.append(f"--{part.boundary}--\r\n".encode("ascii"))
        return
    if part.encoding != "7bit":
        out.append(f"Content-Transfer-Encoding: {part.encoding}\r\n".encode("ascii"))
    out.append(b"\r\n")
    out.extend(_encoded(part))


def _encoded(part: Part) -> Iterable[bytes]:
    body = part.body() if callable(part.body) else part.body
    if part.encoding == "base64":
        for start in range(0, len(body), _BASE64_SLICE):
            yield _base64_lines(body[start : start + _BASE64_SLICE])
    elif part.encoding == "quoted-printable":
        quoted = binascii.b2a_qp(body, istext=True)
        yield quoted.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    else:
        yield body


def _base64_lines(data: bytes) -> bytes:
    text = binascii.b2a_base64(data, newline=False)
    lines = [text[at : at + _LINE_MAX] for at in range(0, len(text), _LINE_MAX)]
    return b"\r\n".join(lines) + b"\r\n"
