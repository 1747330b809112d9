"""Sound that ffmpeg fetches: cameras and radio streams.

ffmpeg runs as a process of its own, which can be killed when it hangs. It writes WAV to a pipe, so
that rate and channels are the source's own.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from tempfile import TemporaryFile
from typing import IO

from firstshot.live.sources.pcm import LIVE_PATIENCE, RawPipe, is_ready
from firstshot.live.sources.protocol import Chunk, SourceEndedError, SourceLostError
from firstshot.live.sources.reading import QUIET, ffmpeg_program
from firstshot.messages import shown

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "srt", "udp", "tcp")
ANSWER_SECONDS = 15.0
"""How long a camera may take until its first sound."""
MOST_HEADER = 4096
_AS_WAV = ("-vn", "-map_metadata", "-1", "-bitexact", "-c:a", "pcm_f32le", "-f", "wav", "-")


def is_url(text: str) -> bool:
    """Tell whether a text is an address that ffmpeg fetches.

    >>> is_url("rtsp://10.0.0.7/stream"), is_url("C:/sound.wav")
    (True, False)
    """
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


class Decoder:
    """One run of ffmpeg, from its start to its end."""

    def __init__(self, address: str) -> None:
        """Start it and wait for its first sound.

        Raises
        ------
        MissingLibraryError
            There is no ffmpeg.
        SourceLostError
            It cannot open the address, or does not answer in time.
        """
        program = ffmpeg_program(address)
        self._address = address
        self._said: IO[bytes] = TemporaryFile()  # noqa: SIM115
        options = ["-rtsp_transport", "tcp"] if address.lower().startswith("rtsp") else []
        self._process = subprocess.Popen(
            [program, *QUIET, *options, "-i", address, *_AS_WAV],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # an interrupt is for firstshot, which ends it in order
        )
        try:
            self._pipe = self._read_header()
        except BaseException:
            self.close()
            raise

    def read(self, seconds: float) -> Chunk | None:
        """Return the next chunk, None where none comes within some seconds.

        Raises
        ------
        SourceEndedError
            ffmpeg has ended, and says nothing of a fault.
        SourceLostError
            It has ended with a fault.
        """
        try:
            return self._pipe.read(seconds)
        except SourceEndedError:
            if self._process.wait(timeout=5) != 0:
                raise SourceLostError(self._fault("has stopped")) from None
            raise

    def close(self) -> None:
        """End it, by force where it does not end."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(kind)
                try:
                    self._process.wait(timeout=2)
                except subprocess.TimeoutExpired:
                    continue
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def _read_header(self) -> RawPipe:
        """Return the samples behind a WAV header."""
        assert self._process.stdout is not None
        handle, data = self._process.stdout.fileno(), b""
        end = time.monotonic() + ANSWER_SECONDS
        while b"data" not in data or len(data) < data.index(b"data") + 8:
            if not is_ready(handle, end - time.monotonic()):
                raise SourceLostError(self._fault(f"sends nothing for {ANSWER_SECONDS:g} s"))
            new = os.read(handle, 1)
            if not new or len(data) > MOST_HEADER:
                self._process.wait(timeout=5)
                raise SourceLostError(self._fault("has no sound"))
            data += new
        channels, rate = struct.unpack_from("<HI", data, data.index(b"fmt ") + 10)
        return RawPipe(handle, rate, channels, "f32le")

    def _fault(self, what: str) -> str:
        """Say what is wrong, with the last line that ffmpeg has written."""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        why = f" ({shown(lines[-1])})" if lines else ""
        return f"{shown(self._address)}: {what}{why}; check the address and that it is on"


class FfmpegSource:
    """A stream that ffmpeg fetches.

    Parameters
    ----------
    address : str
        A URL; a password in it appears in no message.
    """

    patience: float | None = LIVE_PATIENCE
    position = ""
    can_reopen = True

    def __init__(self, address: str) -> None:
        self.name = shown(address)
        self._address = address
        self._decoder: Decoder | None = None

    def open(self) -> None:
        """Connect; raises as `Decoder`."""
        self._decoder = Decoder(self._address)

    def read(self, seconds: float) -> Chunk | None:
        """Return the next chunk; the end of a stream is a loss."""
        if self._decoder is None:
            raise SourceLostError(f"{self.name}: is not connected")
        try:
            return self._decoder.read(seconds)
        except SourceEndedError:
            raise SourceLostError(f"{self.name}: the stream has ended") from None

    def close(self) -> None:
        """Disconnect."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
