"""Who may ask the page what: only the browser that was given the address with the token, from the page itself.

The page listens on 127.0.0.1, where other pages of the browser and other users of the machine can reach it. So each
request has to name this host (a name that was pointed at 127.0.0.1 does not), to carry the token of this start in a
cookie that no other site can send, and, where it changes something, to come from the page.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 64 * 1024
"""Bytes of a decision; a note of a thousand words fits."""

LONGEST_QUERY = 8 * 1024
"""Bytes of an address."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Middleware that lets through what may be asked, and says of all else why not.

    Args:
        app: What is guarded.
        port: Of the page; hosts `127.0.0.1` and `localhost` are this one.
        token: Secret of this start.
        read_only: Nothing may be changed.
    """

    def __init__(self, app: ASGIApp, port: int, token: str, read_only: bool = False) -> None:
        self._app, self._token, self._read_only = app, token, read_only
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"pelage_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket, which the page has none of, is closed by the server
        headers = Headers(scope=scope)
        answer = self._refused(scope, headers)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _refused(self, scope: Scope, headers: Headers) -> Callable[[Scope, Receive, Send], Awaitable[None]] | None:
        """Return what is answered in the place of the page, None where the request may pass."""
        host = headers.get("host", "")
        if host not in self._hosts:
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, "This page answers to 127.0.0.1 only.")
        if len(scope["query_string"]) + len(scope["path"]) > LONGEST_QUERY:
            return _refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long.")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and POST are understood.")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and scope["path"] == "/" and given:
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                return _refuse(HTTPStatus.FORBIDDEN, "This address is of an earlier start. Use the one last printed.")
            answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return answer
        shown = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if not secrets.compare_digest(shown.encode(), self._token.encode()):
            return _refuse(HTTPStatus.FORBIDDEN, "Open the address that `make review` printed, with its token.")
        if scope["method"] != "POST":
            return None
        if self._read_only:
            return _refuse(HTTPStatus.FORBIDDEN, "This page was started with --read-only: nothing can be decided.")
        if (
            headers.get("origin", "") != f"http://{host}"
            or headers.get("sec-fetch-site", "same-origin") != "same-origin"
        ):
            return _refuse(HTTPStatus.FORBIDDEN, "A decision has to come from the page itself.")
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A decision is told as application/json.")
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A decision has at most {LONGEST_BODY} bytes.")
        return None


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def _refuse(status: HTTPStatus, why: str) -> PlainTextResponse:
    return PlainTextResponse(why + "\n", status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """Let no more than `LONGEST_BODY` through, whatever the header said of the length."""
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LONGEST_BODY:
            return {"type": "http.disconnect"}
        return message

    return receiving
