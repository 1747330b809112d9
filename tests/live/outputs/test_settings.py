import pytest
from tests.live.fakes import SetClock, a_state, an_event, its_end

from firstshot.errors import ParameterError
from firstshot.live.outputs.mail import Mail
from firstshot.live.outputs.metrics import Metrics
from firstshot.live.outputs.settings import make_outputs, read_outputs

URL = "https://hooks.example/path"
MAIL = {"kind": "mail", "host": "mail.example", "from": "box@a.example", "to": ["me@a.example"]}


def test_every_kind_is_read_with_its_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("WORD", "from-the-environment\n")
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    tables = [
        {"kind": "webhook", "url": URL, "secret_file": str(secret), "tell": ["event", "state"]},
        {"kind": "mqtt", "url": "mqtts://broker.example", "user": "box", "password_env": "WORD"},
        {**MAIL, "user": "box", "password_env": "WORD"},
        {"kind": "command", "command": "notify 'two words'", "seconds": 5},
        {"kind": "metrics", "port": 9100},
    ]
    settings = read_outputs(tables)
    assert [item.name for item in settings] == ["webhook", "mqtt", "mail", "command", "metrics"]
    webhook, _, mail, command, metrics = (item.make(["fan"], SetClock()) for item in settings)
    assert webhook.secret.value == "from-a-file"
    assert (mail.port, mail.security, mail.password.value) == (
        587,
        "starttls",
        "from-the-environment",
    )
    assert command.words == ("notify", "two words")
    assert isinstance(metrics, Metrics)
    assert settings[0].rules.wants(a_state("alarm", "normal"))
    assert not settings[2].rules.wants(its_end(an_event()))


def test_secrets_are_in_no_representation(monkeypatch):
    monkeypatch.setenv("WORD", "hush-hush")
    (settings,) = read_outputs([{**MAIL, "user": "box", "password_env": "WORD"}])
    assert "hush-hush" not in repr(settings.make([], SetClock()))
    assert isinstance(settings.make([], SetClock()), Mail)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "pager"}, "outputs[0].kind is 'pager', expected one of webhook, mqtt"),
        ({"kind": "webhook"}, "outputs[0].url is missing"),
        ({"kind": "webhook", "url": URL, "sekret": "x"}, "outputs[0].sekret is not known"),
        ({"kind": "webhook", "url": "ftp://x"}, "outputs[0].url: expected an address such as"),
        ({"kind": "webhook", "url": "https://a:b@c/"}, "without user name or password"),
        (
            {"kind": "webhook", "url": URL, "secret_env": "NOT_SET_ANYWHERE"},
            "outputs[0].secret_env: the environment variable NOT_SET_ANYWHERE is not set",
        ),
        (
            {"kind": "webhook", "url": URL, "secret_file": "/no/such"},
            "outputs[0].secret_file: /no/such is no file with a secret in it",
        ),
        ({"kind": "mqtt", "url": "tcp://x"}, "outputs[0].url: expected mqtt://host:1883"),
        ({"kind": "mqtt", "url": "mqtt://x:99999"}, "outputs[0].url: expected mqtt://host:1883"),
        ({"kind": "mqtt", "url": "mqtt://x", "base": "a/#"}, "topics without + and #"),
        ({**MAIL, "to": []}, "outputs[0].to names no mailbox"),
        ({**MAIL, "to": ["me"]}, "'me' is no address of a mailbox"),
        ({"kind": "command", "command": "a 'b"}, "outputs[0].command: No closing quotation"),
        ({"kind": "metrics", "port": 0}, "expected a whole number from 1 to 65535"),
        ({"kind": "metrics", "port": 1, "ends": True}, "outputs[0].ends is not known"),
        (
            {"kind": "webhook", "url": URL, "tell": ["window"]},
            'outputs[0].tell: expected ["event"]',
        ),
        ({"kind": "webhook", "url": URL, "name": "../x"}, "expected a-z, 0-9 and _"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_field(table, said):
    with pytest.raises(ValueError, match=r"^outputs\[0\]") as caught:
        read_outputs([table])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_sent_in_the_clear_to_another_computer(monkeypatch):
    monkeypatch.setenv("WORD", "x")
    table = {**MAIL, "user": "box", "password_env": "WORD", "security": "none"}
    with pytest.raises(ValueError, match="shows the password to the network"):
        read_outputs([table])


def test_two_outputs_of_one_name_are_refused():
    with pytest.raises(ValueError, match="named webhook is there already; give it a `name`"):
        read_outputs([{"kind": "webhook", "url": URL}] * 2)


def test_two_machines_whose_topics_would_be_the_same_are_refused(tmp_path):
    settings = read_outputs([{"kind": "mqtt", "url": "mqtt://localhost"}])
    with pytest.raises(ParameterError, match="'Fan 1' and 'fan-1' would have the same MQTT topics"):
        make_outputs(settings, [], ["Fan 1", "fan-1"], tmp_path, SetClock())
