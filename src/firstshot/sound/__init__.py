"""A file becomes a waveform, a waveform a spectrogram; and synthetic machines to try it on."""
