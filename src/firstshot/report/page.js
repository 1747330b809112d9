
"use strict";
// A line runs over the spectrogram while its excerpt plays; one player sounds at a time.
for (const player of document.querySelectorAll("audio")) {
  const line = player.closest("figure").querySelector(".playhead");
  const follow = () => {
    line.style.setProperty("--played", player.currentTime / (player.duration || 1));
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
    line.hidden = false;
    follow();
  });
  player.addEventListener("seeked", follow);
  player.addEventListener("ended", () => { line.hidden = true; });
}
