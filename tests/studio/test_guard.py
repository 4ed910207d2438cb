"""Who may ask for what: every row of the guard's table, without a server."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from neocog.studio.guard import Guard, redirect_file

PORT, TOKEN, MOST = 7391, "the-token", 1000
OWN = "127.0.0.1:7391"


async def application(scope, receive, send):
    """Answer everything: a request with the length of its body, a socket by accepting it."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RuntimeError("the request has ended")
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


class Asked:
    """A request, and what was answered."""

    def __init__(self, guard, kind="http", method="GET", path="/", query=b"", headers=(), body=(b"",)):
        scope = {"type": kind, "path": path, "query_string": query, "headers": [*headers]}
        if kind == "http":
            scope["method"] = method
        parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        parts[-1]["more_body"] = False
        waiting = [{"type": "websocket.connect"}] if kind == "websocket" else parts
        self.sent = []

        async def receive():
            return waiting.pop(0)

        async def send(message):
            self.sent.append(message)

        asyncio.run(guard(scope, receive, send))
        self.first = self.sent[0]
        self.status = self.first.get("status", self.first["type"])
        self.headers = dict(self.first.get("headers", ()))
        self.body = b"".join(message.get("body", b"") for message in self.sent[1:])


def names(**values):
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


@pytest.fixture
def guard():
    return Guard(application, PORT, TOKEN, MOST)


@pytest.fixture
def cookie(guard):
    answer = Asked(guard, query=b"token=the-token", headers=names(host=OWN))
    return answer.headers[b"set-cookie"].decode().partition(";")[0]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7391", 200),
        ("localhost:7391", 200),
        ("LOCALHOST:7391", 200),
        ("[::1]:7391", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:80", 421),
        ("evil.example:7391", 421),  # a name that is resolved to 127.0.0.1
        ("127.0.0.1.evil.example:7391", 421),
        ("evil.example", 421),
        ("", 421),
    ],
)
def test_the_host_must_be_the_loopback_interface(guard, cookie, host, status):
    assert Asked(guard, headers=names(host=host, cookie=cookie)).status == status


def test_a_request_without_a_host_or_with_two_is_refused(guard, cookie):
    assert Asked(guard, headers=names(cookie=cookie)).status == 421
    two = [*names(host=OWN, cookie=cookie), *names(host="evil.example")]
    assert Asked(guard, headers=two).status == 421


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("http://127.0.0.1:7391", True),
        (None, False),
        ("null", False),  # a page in a file, or in a sandbox
        ("http://localhost:7391", False),  # exact: not another name of the same
        ("https://127.0.0.1:7391", False),
        ("http://127.0.0.1:7392", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:7391.evil.example", False),
        ("http://127.0.0.1:7391/", False),
    ],
)
def test_a_socket_and_a_post_need_the_pages_own_origin(guard, cookie, origin, passes):
    headers = names(host=OWN, cookie=cookie) + ([] if origin is None else names(origin=origin))
    opened = Asked(guard, kind="websocket", path="/ws", headers=headers)
    assert opened.first["type"] == ("websocket.accept" if passes else "websocket.close")
    assert Asked(guard, method="POST", path="/upload", headers=headers).status == (200 if passes else 403)


def test_dns_rebinding_fails_although_origin_and_host_agree(guard, cookie):
    headers = names(host="evil.example:7391", origin="http://evil.example:7391", cookie=cookie)
    assert Asked(guard, kind="websocket", path="/ws", headers=headers).first["type"] == "websocket.close"
    assert Asked(guard, headers=headers).status == 421


@pytest.mark.parametrize(
    "wrong", [None, "neocog_studio_7391=guess", "neocog_studio_7392={key}", "other={key}"]
)
def test_all_but_the_first_address_needs_the_cookie(guard, cookie, wrong):
    key = cookie.partition("=")[2]
    headers = names(host=OWN) + ([] if wrong is None else names(cookie=wrong.format(key=key)))
    for path in ("/", "/ws", "/studio.js", "/enter.js", "/files/a/b"):
        assert Asked(guard, path=path, headers=headers).status == 403
    own = [*headers, *names(origin=f"http://{OWN}")]
    assert Asked(guard, kind="websocket", path="/ws", headers=own).first["type"] == "websocket.close"


def test_the_cookie_is_found_beside_those_of_other_programs(guard, cookie):
    assert Asked(guard, headers=names(host=OWN, cookie=f"a=b; {cookie}; c=d")).status == 200


def test_the_token_becomes_a_cookie_of_this_port_and_leaves_the_address(guard, cookie):
    answer = Asked(guard, query=b"token=the-token", headers=names(host=OWN))
    assert answer.status == 200
    text = answer.headers[b"set-cookie"].decode()
    assert text.startswith("neocog_studio_7391=")
    assert "HttpOnly" in text
    assert "SameSite=Strict" in text
    assert TOKEN not in text
    assert b"the-token" not in answer.body
    assert b"/enter.js" in answer.body
    script = Asked(guard, path="/enter.js", headers=names(host=OWN, cookie=cookie))
    assert script.body == b'location.replace("/" + location.hash);\n'
    assert script.headers[b"content-type"] == b"text/javascript; charset=utf-8"


@pytest.mark.parametrize("query", [b"token=", b"token=wrong", b"token=the-toke", b"token=the-token2"])
def test_a_wrong_token_sets_no_cookie(guard, query):
    answer = Asked(guard, query=query, headers=names(host=OWN))
    assert answer.status == 403
    assert b"set-cookie" not in answer.headers


def test_the_token_counts_at_the_first_address_only(guard):
    assert Asked(guard, path="/studio.js", query=b"token=the-token", headers=names(host=OWN)).status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(guard, cookie, method):
    answer = Asked(guard, method=method, headers=names(host=OWN, cookie=cookie, origin=f"http://{OWN}"))
    assert answer.status == 405
    assert answer.headers[b"allow"] == b"GET, HEAD, POST"


def test_bodies_are_bounded_by_their_length_and_as_they_come(guard, cookie):
    headers = names(host=OWN, cookie=cookie, origin=f"http://{OWN}")

    def status(body, **more):
        return Asked(guard, method="POST", path="/upload", headers=headers + names(**more), body=body)

    assert status([b"x" * MOST], content_length=str(MOST)).body == b"1000"
    assert status([b""], content_length=str(MOST + 1)).status == 413
    assert status([b""], content_length="-1").status == 413
    assert status([b"x" * 600, b"x" * 401]).status == 413
    assert status([b"x" * 600, b"x" * 400]).body == b"1000"


def test_every_answer_has_the_strict_policy(guard, cookie):
    for answer in (
        Asked(guard, headers=names(host=OWN, cookie=cookie)),
        Asked(guard, headers=names(host=OWN)),
        Asked(guard, headers=names(host="evil.example")),
        Asked(guard, query=b"token=the-token", headers=names(host=OWN)),
    ):
        policy = answer.headers[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers[b"referrer-policy"] == b"no-referrer"
        assert answer.headers[b"x-content-type-options"] == b"nosniff"
    policy = Asked(guard, headers=names(host=OWN, cookie=cookie)).headers[b"content-security-policy"].decode()
    assert f"connect-src 'self' ws://{OWN};" in policy
    foreign = Asked(guard, headers=names(host="evil.example; script-src *")).headers
    assert b"evil" not in foreign[b"content-security-policy"]


def test_only_the_user_can_read_the_page_that_leads_to_the_token():
    path = redirect_file('http://127.0.0.1:7391/?token=a&b="><script>')
    try:
        text = Path(path).read_text()
        assert "url=http://127.0.0.1:7391/?token=a&amp;b=&quot;&gt;&lt;script&gt;" in text
        if os.name == "posix":
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    finally:
        os.unlink(path)
