import hashlib
import hmac
import json

import pytest
from tests.live.fakes import an_event
from tests.live.receivers import HttpReceiver, free_port

from firstshot.live.outputs.protocol import DeliveryError, RefusedError
from firstshot.live.outputs.secrets import Secret
from firstshot.live.outputs.webhook import Webhook


@pytest.fixture
def receiver():
    with HttpReceiver() as server:
        yield server


def test_an_event_is_posted_as_json_signed_and_with_its_key(receiver):
    webhook = Webhook("pager", Secret(receiver.url), Secret("shared"), Secret("token-1"))
    webhook.open()
    assert receiver.got == []
    webhook.send(an_event(), "key-1")
    ((path, headers, body),) = receiver.got
    assert path == "/hook/secret-path"
    assert json.loads(body) == an_event().as_json()
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer token-1"
    expected = hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert headers["X-Firstshot-Signature"] == f"sha256={expected}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_status_that_passes_is_tried_again(receiver, status):
    receiver.statuses = [status]
    webhook = Webhook("pager", Secret(receiver.url))
    with pytest.raises(DeliveryError, match=rf"^the webhook at 127\S+ answers .* {status}$"):
        webhook.send(an_event(), "key-1")
    webhook.send(an_event(), "key-1")
    assert len(receiver.got) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_other_statuses_refuse_the_message_and_a_redirect_is_not_followed(receiver, status):
    receiver.statuses = [status]
    with pytest.raises(RefusedError, match=f"status {status}$"):
        Webhook("pager", Secret(receiver.url)).send(an_event(), "key-1")
    assert len(receiver.got) == 1


def test_a_server_that_is_away_is_told_without_the_path_of_the_address():
    webhook = Webhook("pager", Secret(f"http://127.0.0.1:{free_port()}/secret-path"))
    for attempt in (webhook.open, lambda: webhook.send(an_event(), "key-1")):
        with pytest.raises(DeliveryError, match="does not answer") as caught:
            attempt()
        assert "secret" not in str(caught.value)
