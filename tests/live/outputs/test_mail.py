from email import message_from_bytes, policy

import pytest
from tests.live.fakes import an_event, its_end
from tests.live.receivers import SmtpReceiver, free_port

from firstshot.live.outputs.mail import Mail
from firstshot.live.outputs.protocol import DeliveryError, RefusedError, key_of
from firstshot.live.outputs.secrets import Secret


def mail_to(port, **values):
    to = ("night@plant.example", "day@plant.example")
    return Mail("mail", "127.0.0.1", port, "none", "box@plant.example", to, **values)


def test_an_event_is_one_mail_with_a_plain_subject_to_all():
    with SmtpReceiver() as server:
        mail_to(server.port).send(an_event(), key_of(an_event()))
        (raw,) = server.mails
        assert len(server.recipients) == 2
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["Subject"] == "fan: alarm since 2026-03-01 12:00:00Z"
    assert mail["Date"] == "Sun, 01 Mar 2026 12:00:00 +0000"
    body = mail.get_content()
    assert "5 of 8 windows sound unlike normal." in body
    assert "Highest score 3.5, threshold 2 (commissioned)." in body


def test_a_mail_keeps_its_message_id_at_every_attempt_and_the_end_answers_the_beginning():
    with SmtpReceiver() as server:
        output = mail_to(server.port)
        for report in (an_event(), an_event(), its_end(an_event())):
            output.send(report, key_of(report))
        first, again, end = (message_from_bytes(raw) for raw in server.mails)
    assert first["Message-ID"] == again["Message-ID"] != end["Message-ID"]
    assert end["In-Reply-To"] == first["Message-ID"]


def test_a_password_is_used_and_a_wrong_one_is_refused_without_being_told():
    with SmtpReceiver(password="right") as server:
        mail_to(server.port, user="box", password=Secret("right")).open()
        with pytest.raises(RefusedError, match=r"refuses the password of box$") as caught:
            mail_to(server.port, user="box", password=Secret("wrong-one")).open()
    assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "reply", "kind"),
    [
        ("MAIL", "451 later", DeliveryError),
        ("MAIL", "550 never", RefusedError),
        ("DATA", "452 full", DeliveryError),
        ("DATA", "554 spam", RefusedError),
    ],
)
def test_a_status_of_4xx_is_tried_again_and_one_of_5xx_is_not(word, reply, kind):
    with SmtpReceiver() as server:
        server.replies[word] = [reply]
        with pytest.raises(kind, match=f"status {reply[:3]}"):
            mail_to(server.port).send(an_event(), "key-1")


def test_recipients_that_are_all_refused_for_now_are_tried_again():
    with SmtpReceiver() as server:
        server.replies["RCPT"] = ["450 busy", "450 busy"]
        with pytest.raises(DeliveryError, match=r"refuses night@plant\S+, day@plant"):
            mail_to(server.port).send(an_event(), "key-1")


def test_a_server_that_is_away_is_tried_again():
    with pytest.raises(DeliveryError, match="does not answer"):
        mail_to(free_port()).open()
