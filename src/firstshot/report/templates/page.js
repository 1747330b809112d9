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
// Points are coloured by what the switch says; a click tells of a clip, and plays it if it can.
for (const plot of document.querySelectorAll(".points")) {
  const told = plot.querySelector(".told");
  const tell = point => {
    told.textContent = point.querySelector("title").textContent;
    for (const other of plot.querySelectorAll(".chosen")) other.classList.remove("chosen");
    point.classList.add("chosen");
  };
  const choose = point => {
    tell(point);
    const player = document.getElementById(point.dataset.plays);
    if (!player) return;
    player.closest("details").open = true;
    player.currentTime = 0;
    player.play().catch(() => {});
  };
  for (const point of plot.querySelectorAll(".point")) {
    point.addEventListener("mouseenter", () => tell(point));
    point.addEventListener("focus", () => tell(point));
    point.addEventListener("click", () => choose(point));
    point.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(point); }
    });
  }
  plot.addEventListener("change", event => {
    const by = event.target.value;
    for (const point of plot.querySelectorAll(".point")) point.dataset.colour = point.dataset[by];
    for (const keys of plot.querySelectorAll(".legend")) keys.hidden = keys.dataset.for !== by;
  });
}
