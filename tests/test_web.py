"""Every download keeps to one set of rules, whatever the server does."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
from tests.raw_server import RawServer, head, locals_of, make_certificate

from firstshot import web
from firstshot.errors import ParameterError
from firstshot.messages import shown

TOKEN = "hf_madeUpForTheTests"
EXAMPLE = "https://hub.example"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def ask(url: str, **how: object) -> bytes:
    """GET and read up to a kilobyte."""
    with web.ask(url, timeout=5, **how) as answer:  # type: ignore[arg-type]
        return web.read_whole(answer, 1024)


def hello(_: str) -> bytes:
    return head("200 OK", "Content-Length: 5") + b"hello"


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        *("", "hub.example", "ftp://hub.example", "file:///etc/passwd", "javascript:alert(1)"),
        *(
            "http://",
            "https:///path",
            "https://:80",
            "https://[::1",
            "https://h:port",
            "https://h:0",
        ),
        *("https://h:99999", "https://h:²", "https://h:" + "9" * 5000, "https://h/a b"),
        *("https://h/\x1b[31m", "https://h/\nHost: x", "https://hüb.example", "https://h\x00"),
        *("https://h/?a=1", "https://h/#a", "https://user@h", "http://[v1.x", "https://\u2100.com"),
    ],
)
def test_what_is_no_address_is_refused_in_one_line_with_an_example(address: str) -> None:
    with pytest.raises(ParameterError) as caught:
        web.check_address(address, "HF_ENDPOINT", EXAMPLE)
    message = str(caught.value)
    assert message.startswith("HF_ENDPOINT '")
    assert f"expected an address such as {EXAMPLE}, without user name, password, ? or #" in message
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize(
    "address",
    [
        *("https://user:S3cret@host/api", "https://user:S3cret@host:8443/", "http://S3cret@host"),
        *("https://user:p/S3cret@host", "https://user:p?S3cret@host", "https://user:p#S3cret@host"),
        *("https://user:p@S3cret@host", "user:S3cret@host", "https:user:S3cret@host"),
        *("https://user:S3cret\n@host", "https://host/api?access_token=S3cret", "ftp://S3cret@h"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ParameterError) as caught:
        web.check_address(address, "--api", EXAMPLE)
    assert "S3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_may_end_in_a_slash_and_a_line_break_of_a_shell() -> None:
    assert web.check_address(" https://hub.example/x/\n", "x", EXAMPLE) == "https://hub.example/x"
    assert web.check_address("http://[::1]:80", "x", EXAMPLE) == "http://[::1]:80"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://hub/a", "https://hub/b", True),
        ("https://hub/a", "https://HUB:443/b", True),
        ("http://hub:80", "http://hub", True),
        ("https://hub", "http://hub", False),
        ("https://hub:443", "http://hub:443", False),
        ("https://hub", "https://hub:8443", False),
        ("https://hub", "https://hub.evil", False),
    ],
)
def test_a_server_is_its_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert web.is_same_server(one, other) is same


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://h/a/b", "/c", "https://h/c"),
        ("https://h/a", "//other/c", "https://other/c"),
        ("http://h/a", "https://h/a#part", "https://h/a"),
        ("https://h/a", "c d\x1b\u00e9", "https://h/c%20d%1B%E9"),
    ],
)
def test_a_redirect_becomes_an_address(url: str, location: str, target: str) -> None:
    headers = Message()
    headers["Location"] = location
    assert web.redirect_target(url, headers) == target


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://h/a",
            "HTTP://h/a",
            "http://other/",
            "ftp://h/a",
            "file:///etc/passwd",
            "data:,x",
        ),
        *("https://[", "https://h:port/", "https://user:pw@h/", "https://h:99999"),
    ],
)
def test_a_redirect_from_https_leads_to_https_only(location: str) -> None:
    headers = Message()
    headers["Location"] = location
    with pytest.raises(web.BadAnswer):
        web.redirect_target("https://h/", headers)


# Redirects of real servers


def leads_to(target: str, status: int = 302) -> RawServer:
    return RawServer(lambda _: head(f"{status} Moved", f"Location: {target}", "Content-Length: 0"))


@pytest.mark.parametrize("status", web.MOVED)
def test_a_redirect_is_followed(status: int) -> None:
    with RawServer(hello) as storage, leads_to(f"{storage.url}/x", status) as hub:
        assert ask(hub.url) == b"hello"


def test_https_that_leads_on_to_http_is_refused(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with RawServer(hello) as plain:
        moved = head("302 Found", f"Location: {plain.url}/x")
        with (
            RawServer(lambda _: moved, certificate) as hub,
            pytest.raises(web.BadAnswer, match=r"from https to http://127\.0\.0\.1"),
        ):
            ask(hub.url)
    assert plain.asked == []


def test_https_may_lead_on_to_https(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with RawServer(hello, certificate) as storage:
        moved = head("302 Found", f"Location: {storage.url}/x")
        with RawServer(lambda _: moved, certificate) as hub:
            assert ask(hub.url) == b"hello"


def test_a_certificate_that_nobody_signed_is_refused(certificate: tuple[Path, Path]) -> None:
    with (
        RawServer(hello, certificate) as hub,
        pytest.raises(web.Unreachable, match=r"(?i)certificate"),
    ):
        ask(hub.url)
    assert hub.asked == []


def test_a_circle_of_redirects_ends() -> None:
    with (
        RawServer(lambda _: head("302 Found", "Location: /again", "Content-Length: 0")) as hub,
        pytest.raises(web.BadAnswer, match="redirects more than 10 times"),
    ):
        ask(hub.url)
    assert len(hub.asked) == 11


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,hello", ""])
def test_a_redirect_to_what_is_not_http_is_refused(location: str) -> None:
    with leads_to(location) as hub, pytest.raises(web.BadAnswer):
        ask(hub.url)


# Headers and bodies

NO_NUMBERS = (
    "abc",
    "-5",
    "+5",
    "5.0",
    "0x5",
    "²",
    "1_0",
    "",
    "9" * 60_000,
    "5, 5",
    "NaN",
    "\x1b[31m",
)


@pytest.mark.parametrize("told", NO_NUMBERS)
def test_a_length_that_is_no_number_is_refused(told: str) -> None:
    with (
        RawServer(lambda _: head("200 OK", f"Content-Length: {told}") + b"hello") as server,
        pytest.raises(web.BadAnswer, match="Content-Length is") as caught,
    ):
        ask(server.url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_eastern_digits_are_no_number() -> None:
    assert web.read_number("٣") is None
    assert web.read_number("９") is None


@pytest.mark.parametrize(
    "told",
    [
        "",
        "bytes",
        "bytes 5-",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "bytes ²-9/10",
        "bytes a-b/c",
        "bytes -1-4/10",
        "chars 0-4/10",
        "bytes 0-4/",
        f"bytes 0-{'9' * 5000}/*",
        "bytes 0-4/-1",
    ],
)
def test_a_range_that_says_nothing_or_contradicts_itself_is_not_believed(told: str) -> None:
    with (
        RawServer(lambda _: head("206 Partial", f"Content-Range: {told}") + b"hello") as server,
        web.ask(server.url, 5) as answer,
        pytest.raises(web.Unreachable, match="which bytes"),
    ):
        web.read_range(answer)


def test_a_range_is_its_first_byte_and_the_size_of_the_file() -> None:
    for told, found in (("bytes 5-9/10", (5, 10)), ("bytes 5-9/*", (5, None))):
        with (
            RawServer(lambda _, told=told: head("206 Partial", f"Content-Range: {told}")) as server,
            web.ask(server.url, 5) as answer,
        ):
            assert web.read_range(answer) == found


def endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    return itertools.chain([start], itertools.repeat(piece))


CHUNKED = head("200 OK", "Transfer-Encoding: chunked")
MEGABYTE = b"x" * (1 << 20)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (head("200 OK"), MEGABYTE),
        (CHUNKED, b"100000\r\n" + MEGABYTE + b"\r\n"),
        (CHUNKED + b"-1\r\n", MEGABYTE),
        (CHUNKED + b"-5\r\n", MEGABYTE),
        (CHUNKED + b"FFFFFFFFFFFFFFFFFFFF\r\n", MEGABYTE),
        (head("200 OK", "Content-Length: 999999999999999"), MEGABYTE),
    ],
)
def test_an_endless_body_is_left_at_the_length_that_was_allowed(start: bytes, piece: bytes) -> None:
    with RawServer(lambda _: endless(start, piece)) as server:
        tracemalloc.start()
        with web.ask(server.url, 5) as answer:
            come = 0
            # A chunk of -1 bytes is not HTTP; every other body is too long.
            with pytest.raises(
                (web.BadAnswer, web.Unreachable), match=r"more than 100000 bytes|not HTTP"
            ):
                for found in web.read_pieces(answer, 100_000, 1 << 14):
                    come += len(found)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert come <= 100_000
    assert peak < 10 * len(MEGABYTE)


@pytest.mark.parametrize(
    "body",
    [
        *(b"5\r\nhel", b"5\r\nhello\r\n", b"", b"zz\r\nhello\r\n", b"-5\r\nhello", b"\r\n"),
        *(b"5;" + b"x" * 100_000, b"9" * 10_000 + b"\r\nhello"),
    ],
)
def test_a_chunked_body_that_is_cut_or_garbled_is_no_whole_body(body: bytes) -> None:
    with RawServer(lambda _: CHUNKED + body) as server, pytest.raises(web.Unreachable):
        ask(server.url)


def test_a_body_shorter_than_its_length_is_no_whole_body() -> None:
    with (
        RawServer(lambda _: head("200 OK", "Content-Length: 6") + b"hello") as server,
        pytest.raises(web.Unreachable, match="cut"),
    ):
        ask(server.url)


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"\r\n\r\n", b"\x00\xff" * 50, b"SSH-2.0-x\r\n", b"HTTP/1.1 abc OK\r\n\r\n"),
        *(
            b"HTTP/1.1 99 x\r\n\r\n",
            b"HTTP/1.1 \r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        ),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_not_http_is_said_to_be_that(answer: bytes) -> None:
    with RawServer(lambda _: answer) as server, pytest.raises(web.Unreachable) as caught:
        ask(server.url)
    assert str(caught.value)
    assert str(caught.value).isprintable()


def test_a_header_line_without_end_is_left() -> None:
    with (
        RawServer(lambda _: endless(b"HTTP/1.1 200 OK\r\nX: ", MEGABYTE)) as server,
        pytest.raises(web.Unreachable, match="not HTTP"),
    ):
        ask(server.url)


# Secrets


def test_no_frame_of_an_error_holds_the_proxy_s_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[BaseException] = []
    with RawServer(lambda _: b"garbage\r\n\r\n") as server:
        for proxy in (
            "",
            "http://u:S3cret@127.0.0.1:port",
            "http://u:S3cret@",
            "S3cret@127.0.0.1:1",
        ):
            monkeypatch.setenv("no_proxy", "" if proxy else "127.0.0.1")
            monkeypatch.setenv("http_proxy", proxy)
            for url in (
                server.url,
                "http://127.0.0.1:1",
                "http://" + "a" * 80 + "/",
                "http://a..b/",
            ):
                with pytest.raises(web.Unreachable) as caught:
                    ask(url)
                errors.append(caught.value)
    assert len(errors) == 16
    for error in errors:
        assert "S3cret" not in locals_of(error)
        assert str(error).isprintable()


def test_what_a_server_sends_back_of_the_token_is_not_shown() -> None:
    assert TOKEN not in shown(f"Bearer {TOKEN} is not known")
    assert web.shown_address(f"https://h/{TOKEN}/x") == "https://h/***/x"
    assert shown("https://user:pw@host is away") == "https://***@host is away"
