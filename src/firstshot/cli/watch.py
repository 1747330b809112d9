"""`firstshot watch`: machines are listened to day and night."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstshot.cli.options import Quiet
from firstshot.cli.printing.tables import say
from firstshot.cli.watch_outputs import (
    Clips,
    ClipsLimit,
    Exec,
    Mail,
    MailServer,
    MetricsPort,
    Mqtt,
    Webhook,
    read_clip_options,
    read_output_options,
)

if TYPE_CHECKING:
    from firstshot.live.config import WatchSettings

What = Annotated[
    Path | None,
    typer.Argument(
        help="A file written by `firstshot fit`, a folder by `firstshot export`, or a .toml file "
        "that describes several machines.",
    ),
]


class Speed(StrEnum):
    """How fast files and standard input are read."""

    real = "1"
    fastest = "max"


class Commission(StrEnum):
    """What becomes of what was learned of a place."""

    again = "again"


def watch(
    what: What = None,
    input: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="mic, mic:NAME, folder:DIR, file:PATH, stdin, or rtsp://HOST/STREAM."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The machine's name in messages.")] = None,
    every: Annotated[
        float | None,
        typer.Option(help="Seconds from one window to the next. Default: half a window."),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(help="Seconds of a window, for a detector whose file does not say it."),
    ] = None,
    false_alarms_days: Annotated[
        float | None,
        typer.Option(help="At most one false alarm in so many days, once learned. Default: 7."),
    ] = None,
    commission_hours: Annotated[
        float | None,
        typer.Option(help="How long the place is learned: 24 h or more. Default: 24."),
    ] = None,
    commission: Annotated[
        Commission | None,
        typer.Option(help="Learn the place again: after a move, a new gain, or false alarms."),
    ] = None,
    shadow: Annotated[
        Path | None,
        typer.Option(help="A second detector whose scores are told beside, and which only counts."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="The folder of all that is kept over a restart. Default: in "
            "~/.local/state/firstshot; nothing for a file and for --speed max."
        ),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Sample rate in Hz, of stdin (16000) or a microphone.")
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(help="Channels of stdin or a microphone. Default: what the detector needs."),
    ] = None,
    sample_format: Annotated[
        str | None, typer.Option(help="Of stdin: s16le, s32le or f32le. Default: s16le.")
    ] = None,
    speed: Annotated[
        Speed, typer.Option(help="`max` reads a file or stdin as fast as it can.")
    ] = Speed.real,
    blind_after: Annotated[
        float | None,
        typer.Option(help="Seconds without sound until that is told. Default: 20; a folder: 900."),
    ] = None,
    webhook: Webhook = None,
    mqtt: Mqtt = None,
    mail: Mail = None,
    mail_server: MailServer = None,
    command: Exec = None,
    metrics: MetricsPort = None,
    clips: Clips = None,
    clips_limit: ClipsLimit = None,
    tui: Annotated[
        bool, typer.Option("--tui", help="Show the machines as a table instead of JSON lines.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Prove that all of it works, without listening.")
    ] = False,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Show the devices that record, and leave.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Listen to machines, and tell when one changes: JSON lines on standard output.

    A machine's place is learned for 24 h; then at most one false alarm in 7 days is promised. One
    loud moment raises no alarm. A machine that cannot be heard is told as blind, never as normal.
    SIGHUP reads the detectors again, SIGTERM and Ctrl-C end it.

    Exit status: 0 ended by a signal, or all sound was normal; 1 the sound ended and there was an
    alarm; 2 an error.

    Example: firstshot watch fan.firstshot --input mic:UMM-6
    """
    if list_devices:
        _list_devices()
        return
    options = {
        "input": input, "name": name, "every": every, "window": window,
        "false_alarms_days": false_alarms_days, "commission_hours": commission_hours,
        "shadow": None if shadow is None else str(shadow), "rate": rate, "channels": channels,
        "sample_format": sample_format, "blind_after": blind_after,
    }  # fmt: skip
    outputs = {
        "webhook": webhook, "mqtt": mqtt, "mail": mail, "mail_server": mail_server,
        "exec": command, "metrics": metrics, "clips": clips, "clips_limit": clips_limit,
    }  # fmt: skip
    settings = _settings(what, options, outputs, state, speed is Speed.fastest)
    _run(settings, speed is Speed.fastest, check, commission is not None, quiet, tui)


def _settings(
    what: Path | None,
    options: dict[str, Any],
    outputs: dict[str, Any],
    state: Path | None,
    fast: bool,
) -> WatchSettings:
    """Return what is watched: by a file of settings, or by the options."""
    from firstshot.errors import ParameterError
    from firstshot.live.config import WatchSettings, read_config, single_machine

    if what is None:
        raise ParameterError(
            "name a detector file and its --input, or a .toml file that describes machines"
        )
    if what.suffix.lower() == ".toml":
        given = [name for name, value in (options | outputs).items() if value is not None]
        given += ["state"] * (state is not None) + ["speed"] * fast
        if given:
            option = given[0].replace("_", "-")
            raise ParameterError(f"--{option}: is in {what} for each machine; leave it out here")
        return read_config(what)
    if options["input"] is None:
        raise ParameterError("--input is missing; give mic, mic:NAME, folder:DIR, file:PATH, stdin")
    options["name"] = options["name"] or _name_of(what)
    machine = single_machine({**options, "detector": str(what), "fast": fast})
    if state is None and not fast and not machine.input.startswith("file:"):
        state = _default_state() / machine.name
    clips = read_clip_options(outputs.pop("clips"), outputs.pop("clips_limit"))
    return WatchSettings((machine,), state, read_output_options(*outputs.values()), clips)


def _name_of(detector: Path) -> str:
    """Return a machine's name, from its detector's file."""
    letters = (c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in detector.stem)
    return "".join(letters).strip("-_")[:40] or "machine"


def _default_state() -> Path:
    """Return the folder of states, as the XDG specification has it."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path.home() / ".local" / "state") / "firstshot"


def _run(
    settings: WatchSettings, fast: bool, check: bool, again: bool, quiet: bool, tui: bool
) -> None:
    from firstshot.cli.printing.watched import Sentences
    from firstshot.live.clock import SystemClock
    from firstshot.live.operation.service import ServiceManager
    from firstshot.live.operation.terminal import Terminal
    from firstshot.live.outputs.json_lines import History, JsonLines
    from firstshot.live.watch import Watch

    broken = False

    def gone() -> None:
        nonlocal broken
        broken = True
        watching.stop()

    clock = SystemClock()
    if tui:
        feeds: list[Any] = [Terminal([one.name for one in settings.machines], clock)]
    else:
        lines = JsonLines(sys.stdout, waits=fast, gone=gone)
        feeds = [lines, *([] if quiet else [Sentences()])]
    if settings.state is not None:
        feeds.append(History(settings.state / "history", settings.history_days))
    watching = Watch(settings, [] if check else feeds, clock, again=again)
    if check:
        watching.check()
        names = ", ".join(machine.name for machine in settings.machines)
        say(f"all of it works: {names}", err=True)
        return
    manager = ServiceManager(clock)
    try:
        status = watching.run(lambda: manager.alive([one.beat for one in watching.health()]))
    finally:
        manager.stopping()
    if broken:
        raise BrokenPipeError
    raise typer.Exit(status)


def _list_devices() -> None:
    from firstshot.live.sources.microphone import list_devices

    devices = list_devices()
    for line in devices:
        say(line)
    if not devices:
        say("no device records here; plug in a microphone", err=True)
