"""Posts of group conversations as .eml."""

import email
import email.policy
from dataclasses import replace

from formats import file_of
from tests.formats.items import FILE, message, part

PERSON = {"emailAddress": {"name": "Jörg Müller", "address": "joerg@contoso.example"}}
RAW = {
    "id": "AAMk1",
    "receivedDateTime": "2026-03-04T05:06:09Z",
    "hasAttachments": True,
    "body": {"contentType": "html", "content": "<p>Grüße</p>"},
    "from": PERSON,
    "sender": PERSON,
}


def post(topic: str):
    plan = part("attachment", b"plan", {"@odata.type": FILE, "id": "a", "name": "plan.txt"})
    return replace(message(RAW, plan), kind="post", name=topic)


def parsed(item):
    data = b"".join(file_of(item).blocks())
    return email.message_from_bytes(data, policy=email.policy.default)


def test_a_post_is_a_rebuilt_message_under_its_topic_with_its_attachments():
    item = post("Phase 2 / crane 🏗️")
    found = parsed(item)
    assert (found["Subject"], found["X-Holdfast-Rebuilt"]) == ("Phase 2 / crane 🏗️", "yes")
    assert str(found["From"]) == "Jörg Müller <joerg@contoso.example>"
    assert found["Date"].datetime.isoformat() == "2026-03-04T05:06:09+00:00"
    assert "Grüße" in found.get_body().get_content()
    assert [one.get_content() for one in found.iter_attachments()] == [b"plan"]
    assert file_of(item).rebuilt
    assert file_of(item).name == "2026-03-04 0506 Phase 2 _ crane 🏗️.eml"


def test_a_post_without_a_topic_is_a_file_all_the_same():
    assert file_of(post("")).name == "2026-03-04 0506 no subject.eml"
    assert parsed(post(""))["Subject"] == ""
