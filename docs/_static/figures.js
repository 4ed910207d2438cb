// Draw the figures of a page as they come into view; their data stand beside them as JSON.
(function () {
  function draw(place) {
    var figure = JSON.parse(place.querySelector("script").textContent);
    var options = { responsive: true, displaylogo: false, displayModeBar: "hover", showSendToCloud: false, plotlyServerURL: "" };
    place.querySelector("noscript").remove();
    Plotly.newPlot(place, figure.data, figure.layout, options)
      .then(function () { if (figure.frames) return Plotly.addFrames(place, figure.frames); })
      .then(function () { place.style.minHeight = ""; fitFigure(place); });
  }
  var watch = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting) return;
      watch.unobserve(entry.target);
      draw(entry.target);
    });
  }, { rootMargin: "600px" });
  document.querySelectorAll(".figure-json").forEach(function (place) { watch.observe(place); });
})();
