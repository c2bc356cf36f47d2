# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forum and the website as people use them, through the ingress."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from members import png
from visitor import Upload, Visitor


@pytest.mark.covers("WE-F02", "WE-F23")
def test_the_forum_opens_by_its_host_name_only(anonymous: Visitor) -> None:
    page = anonymous.get("/")
    assert page.status == 200
    assert "Wesago" in page.text
    assert Visitor(anonymous.address, "unknown.example").get("/").status == 404


@pytest.mark.covers("WE-F03", "WE-F31")
def test_a_posted_thread_is_read_by_an_anonymous_visitor_and_answered(
    admin: Visitor, anonymous: Visitor, post: Callable[[str], dict[str, Any]]
) -> None:
    text = f"Posted through the ingress: {secrets.token_hex(16)}"
    thread = post(text)
    seen = anonymous.get(thread["url"])
    assert seen.status == 200 and text in seen.text

    reply = f"And answered: {secrets.token_hex(16)}"
    answer = admin.post(f"/api/threads/{thread['id']}/posts/", {"post": reply})
    assert answer.status == 200, answer.text
    assert reply in anonymous.get(thread["url"]).text


@pytest.mark.covers("WE-F03", "WE-F31")
def test_a_poll_counts_a_vote(admin: Visitor, anonymous: Visitor, post: Callable[[str], dict[str, Any]]) -> None:
    thread = post(f"A poll follows: {secrets.token_hex(16)}")
    poll = {
        "question": "Which one?",
        "choices": [{"label": "This"}, {"label": "That"}],
        "length": 0,
        "allowed_choices": 1,
        "allow_revotes": True,
        "is_public": True,
    }
    made = admin.post(f"/api/threads/{thread['id']}/poll/", poll)
    assert made.status == 200, made.text
    choice = made.json()["choices"][0]["hash"]
    voted = admin.post(made.json()["api"]["votes"], [choice])
    assert voted.status == 200, voted.text
    counted = anonymous.get(f"/api/threads/{thread['id']}/").json()["poll"]
    assert counted["votes"] == 1


@pytest.mark.covers("WE-F03")
def test_a_private_thread_is_read_by_its_participant_and_nobody_else(
    admin: Visitor, anonymous: Visitor, newcomer: Callable[[], tuple[str, Visitor]]
) -> None:
    name, participant = newcomer()
    _stranger_name, stranger = newcomer()
    text = f"Between us: {secrets.token_hex(16)}"
    answer = admin.post("/api/private-threads/", {"to": [name], "title": f"Private {secrets.token_hex(6)}", "post": text})
    assert answer.status == 200, answer.text
    url = answer.json()["url"]
    assert text in participant.get(url).text
    assert stranger.get(url).status == 404
    assert text not in anonymous.get(url).text


@pytest.mark.covers("WE-F03")
def test_a_member_follows_the_administrator(admin: Visitor, newcomer: Callable[[], tuple[str, Visitor]]) -> None:
    _name, visitor = newcomer()
    followed = visitor.post(f"/api/users/{admin.get('/api/auth/').json()['id']}/follow/", {})
    assert followed.status == 200, followed.text
    assert followed.json()["is_followed"] is True


@pytest.mark.covers("WE-F22", "WE-F32")
def test_an_uploaded_avatar_is_served_by_nginx(admin: Visitor, anonymous: Visitor) -> None:
    me = admin.get("/api/auth/").json()["id"]
    colour = tuple(secrets.token_bytes(3))
    answer = admin.upload(f"/api/users/{me}/avatar/", {"avatar": "upload", "image": Upload("me.png", png(*colour), "image/png")})
    assert answer.status == 200, answer.text
    source = answer.json()["crop_tmp"]["url"]
    served = anonymous.get(source)
    assert served.status == 200
    assert served.headers["content-type"] == "image/png"
    # Not the application's own answer: it knows nothing of files, so what serves them is nginx, from the volume.
    assert "etag" in served.headers and "last-modified" in served.headers
    assert served.body.startswith(b"\x89PNG")


@pytest.mark.covers("WE-F20", "WE-F22")
def test_the_static_files_that_a_page_names_are_there(anonymous: Visitor) -> None:
    page = anonymous.get("/").text
    named = sorted(set(re.findall(r'(?:src|href)="(/static/[^"?]+)', page)))
    assert named, "the page names no static file"
    for path in named:
        answer = anonymous.get(path)
        assert answer.status == 200 and answer.body, path


@pytest.mark.covers("WE-F04", "WE-F27", "WE-F33")
def test_the_website_opens_with_all_its_parts(anonymous: Visitor, website_host: str) -> None:
    visitor = Visitor(anonymous.address, website_host)
    page = visitor.get("/")
    assert page.status == 200
    assert "text/html" in page.headers["content-type"]
    for path in sorted(set(re.findall(r'(?:src|href)="(?!https?:|mailto:|#|//)([^"#?]+)', page.text))):
        assert visitor.get(path if path.startswith("/") else f"/{path}").status == 200, path


def test_the_health_of_celery_is_nobody_s_business_outside(anonymous: Visitor) -> None:
    assert anonymous.get("/healthcheck/celery/").status == 404
