"""Guard: whoever is not the page itself, opened with its token, gets nothing and changes nothing."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pelage.review.guard import LONGEST_BODY, Guard

PORT, TOKEN = 8765, "a-secret"
HERE = f"http://127.0.0.1:{PORT}"
JSON = {"Content-Type": "application/json", "Origin": HERE}


async def hello(request) -> PlainTextResponse:
    return PlainTextResponse("hello " + (await request.body()).decode())


def client(read_only: bool = False, host: str = HERE, opened: bool = True) -> TestClient:
    app = Starlette(routes=[Route("/{any:path}", hello, methods=["GET", "POST"])])
    asking = TestClient(Guard(app, PORT, TOKEN, read_only), base_url=host)
    if opened:
        asking.get(f"/?token={TOKEN}")
    return asking


def test_the_address_with_its_token_opens_the_page_and_leaves_the_address_bar():
    asking = client(opened=False)
    answer = asking.get(f"/?token={TOKEN}", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert asking.get("/").text.startswith("hello")


@pytest.mark.parametrize("address", ["/", "/?token=another", "/individuals", f"/individuals?token={TOKEN}"])
def test_without_it_nothing_is_shown(address):
    assert client(opened=False).get(address).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil:{PORT}"]
)
def test_a_name_that_leads_to_this_machine_is_not_this_page(host):
    assert client().get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": f"http://127.0.0.1:{PORT + 1}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Cookie": "pelage_8765=forged"}, 403),
    ],
)
def test_a_decision_comes_from_the_page_itself(headers, status):
    asking = client()
    assert asking.post("/decide", content="{}", headers=JSON).status_code == 200
    if "Cookie" in headers:
        asking.cookies.clear()
    assert asking.post("/decide", content="{}", headers=JSON | headers).status_code == status


def test_sizes_are_limited():
    asking = client()
    assert asking.post("/decide", content="x" * (LONGEST_BODY + 1), headers=JSON).status_code == 413
    assert asking.get("/" + "x" * 9000).status_code == 414


def test_read_only_shows_and_changes_nothing():
    asking = client(read_only=True)
    assert asking.get("/").status_code == 200
    assert asking.post("/decide", content="{}", headers=JSON).status_code == 403


def test_other_methods_are_refused_and_all_answers_say_what_a_browser_may_do():
    asking = client()
    assert asking.delete("/").status_code == 405
    for answer in (asking.get("/"), asking.delete("/"), client(opened=False).get("/")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
