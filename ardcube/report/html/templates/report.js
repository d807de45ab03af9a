"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { cells, periods, pictures, position, ramp, states, steps } = data;
  const find = (id) => document.getElementById(id);
  const slider = find("period"), picture = find("picture"), map = find("map"), measure = find("measure");
  const NAMES = { days: "clear days", scenes: "scenes", seconds: "seconds", attempts: "attempts" };
  let layer = "colours";
  let chosen = null; // the cell that the outline marks

  const now = () => Number(slider.value);
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const bytes = (number) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (number >= 1000 && unit < units.length - 1) { number /= 1000; unit += 1; }
    return `${Number(number.toPrecision(3))} ${units[unit]}`;
  };
  const duration = (seconds) => seconds < 60 ? `${seconds.toFixed(1)} s`
    : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
      : `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;

  // Pictures

  function showPicture() {
    const period = periods[now()], found = pictures[period.index];
    const name = document.createElement("b");
    name.textContent = period.label;
    find("label").replaceChildren(name, ` ${period.days}`);
    slider.setAttribute("aria-valuetext", `${period.label}, ${period.days}`);
    find("before").disabled = now() === 0;
    find("after").disabled = now() === periods.length - 1;
    picture.hidden = !found;
    find("no-picture").hidden = Boolean(found);
    find("no-picture").textContent = `No picture of ${period.label}: nothing is written, or it is not in the sample.`;
    if (found) {
      picture.src = found[layer];
      picture.alt = `${layer === "days" ? "Map of clear days" : "Composite"} of ${period.label}, ${period.days}`;
    }
    find("picture-legend").hidden = layer !== "days";
    find("picture-note").hidden = layer === "days";
  }

  function shape(frame, proportion) {
    frame.style.aspectRatio = String(proportion);
    frame.style.maxWidth = `min(100%, ${Math.round(Math.max(560, innerHeight * 0.9) * proportion)}px)`;
  }

  // Map of chunks

  const values = (name) => cells.periods[now()][name];

  function largest(name) {
    return Math.max(1e-9, ...cells.periods.map((one) => one[name].reduce((most, value) => Math.max(most, value ?? 0), 0)));
  }
  const maxima = {};
  for (const name of Object.keys(NAMES)) maxima[name] = largest(name);

  function shade(share) {
    const last = ramp.length - 1, stop = Math.min(last - 1, Math.floor(share * last)), part = share * last - stop;
    return `rgb(${ramp[stop].map((from, index) => Math.round(from + part * (ramp[stop + 1][index] - from))).join(", ")})`;
  }

  function colour(cell) {
    const state = values("state")[cell];
    if (!state) return null;
    if (measure.value === "state") return states[state].colour;
    const value = values(measure.value)[cell];
    return value === null ? "rgb(150, 150, 150)" : shade(value / maxima[measure.value]);
  }

  function edges(cell) {
    const row = Math.floor(cell / cells.cols), col = cell % cells.cols;
    return { left: cells.x[col], right: cells.x[col + 1], top: cells.y[row], bottom: cells.y[row + 1] };
  }

  function drawMap() {
    const ratio = devicePixelRatio || 1, width = map.clientWidth * ratio, height = map.clientHeight * ratio;
    map.width = Math.round(width);
    map.height = Math.round(height);
    const pen = map.getContext("2d");
    const gap = Math.min(width / cells.cols, height / cells.rows) >= 8 * ratio ? ratio : 0;
    for (let cell = 0; cell < cells.rows * cells.cols; cell += 1) {
      const fill = colour(cell);
      if (!fill) continue;
      const { left, right, top, bottom } = edges(cell);
      const x = Math.round(left * width), y = Math.round(top * height);
      const wide = Math.max(1, Math.round(right * width) - x - gap), high = Math.max(1, Math.round(bottom * height) - y - gap);
      pen.fillStyle = fill;
      pen.fillRect(x, y, wide, high);
      if (gap && states[values("state")[cell]].name === "failed") cross(pen, x, y, wide, high, ratio);
      else if (measure.value !== "state") write(pen, cell, [x, y, wide, high], ratio);
    }
    pen.lineWidth = 2 * ratio;
    pen.strokeStyle = getComputedStyle(document.body).color;
    const frame = ({ left, right, top, bottom }) => pen.strokeRect(left * width + ratio, top * height + ratio,
      (right - left) * width - 2 * ratio, (bottom - top) * height - 2 * ratio);
    if (chosen !== null) frame(edges(chosen));
    const part = position.picture;
    if (part.right - part.left < 1 || part.bottom - part.top < 1) {
      pen.setLineDash([6 * ratio, 4 * ratio]);
      frame(part);
    }
  }

  // A mark in addition to the colour, for readers who cannot distinguish red from green.
  function cross(pen, x, y, wide, high, ratio) {
    const arm = Math.min(wide, high) * 0.2, middle = [x + wide / 2, y + high / 2];
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2 * ratio;
    pen.beginPath();
    for (const sign of [-1, 1]) {
      pen.moveTo(middle[0] - arm, middle[1] - sign * arm);
      pen.lineTo(middle[0] + arm, middle[1] + sign * arm);
    }
    pen.stroke();
  }

  function write(pen, cell, [x, y, wide, high], ratio) {
    const value = values(measure.value)[cell];
    if (value === null) return;
    const text = measure.value === "days" || value % 1 ? value.toFixed(1) : String(value);
    pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    if (pen.measureText(text).width + 8 * ratio > wide || high < 18 * ratio) return;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillStyle = value / maxima[measure.value] > 0.55 ? "#fff" : "#1c2321";
    pen.fillText(text, x + wide / 2, y + high / 2);
  }

  function showLegend() {
    const entries = [];
    if (measure.value === "state") {
      const seen = new Set(cells.periods.flatMap((one) => one.state));
      for (const [state, { name, colour: fill }] of Object.entries(states)) if (seen.has(Number(state))) entries.push([fill, name]);
    } else {
      const most = maxima[measure.value], digits = most < 10 ? 1 : 0;
      for (const share of [0, 0.5, 1]) entries.push([shade(share), `${(share * most).toFixed(digits)}`]);
      entries[2][1] += ` ${NAMES[measure.value]}`;
      const unknown = (one) => one[measure.value].some((value, cell) => value === null && one.state[cell]);
      if (cells.periods.some(unknown)) entries.push(["rgb(150, 150, 150)", "not built"]);
    }
    find("map-legend").replaceChildren(...entries.map(([fill, text]) => {
      const entry = document.createElement("li"), box = document.createElement("i");
      box.style.background = fill;
      entry.append(box, text);
      return entry;
    }));
  }

  function describe(cell) {
    const one = cells.periods[now()], state = states[one.state[cell]];
    const row = Math.floor(cell / cells.cols), col = cell % cells.cols;
    if (!state) return "outside the area";
    const padded = (number) => String(number).padStart(4, "0");
    const lines = [];
    if (cells.step === 1) {
      lines.push(`${periods[now()].label}_y${padded(row)}_x${padded(col)}: ${state.name}`);
    } else {
      const parts = [[one.failed[cell], "failed"], [one.missing[cell], "not built yet"]].filter(([number]) => number);
      lines.push(`${count(one.chunks[cell], "chunk")} from row ${row * cells.step}, column ${col * cells.step}: `
        + (parts.map(([number, name]) => `${number} ${name}`).join(", ") || "all built"));
    }
    const numbers = [];
    if (one.scenes[cell] !== null) {
      const mean = cells.step > 1 ? "on average " : "";
      numbers.push(`${mean}${count(one.scenes[cell], "scene")} and ${one.days[cell].toFixed(1)} clear days`);
    }
    if (one.seconds[cell] !== null) numbers.push(duration(one.seconds[cell]));
    if (one.attempts[cell] !== null) numbers.push(count(one.attempts[cell], "attempt"));
    if (numbers.length) lines.push(numbers.join(", "));
    const error = one.error.length ? one.error[cell] : -1;
    if (error >= 0) lines.push(cells.errors[error]);
    return lines.join("\n");
  }

  function choose(cell) {
    chosen = cell;
    find("chunk").textContent = cell === null ? "point at a chunk, or move with the arrow keys" : describe(cell);
    const outline = find("outline"), part = position.picture;
    outline.hidden = cell === null || picture.hidden;
    if (cell !== null) {
      const { left, right, top, bottom } = edges(cell);
      const wide = part.right - part.left, high = part.bottom - part.top;
      outline.style.left = `${100 * (left - part.left) / wide}%`;
      outline.style.top = `${100 * (top - part.top) / high}%`;
      outline.style.width = `${100 * (right - left) / wide}%`;
      outline.style.height = `${100 * (bottom - top) / high}%`;
    }
    drawMap();
  }

  const cellAt = (x, y) => {
    const col = cells.x.findIndex((edge) => edge > x) - 1, row = cells.y.findIndex((edge) => edge > y) - 1;
    return col < 0 || row < 0 ? null : row * cells.cols + col;
  };

  // Coordinates

  function degrees(x, y) { // x and y as shares of the grid
    if (position.geographic) {
      const [west, south, east, north] = position.bounds;
      return [west + x * (east - west), north - y * (north - south)];
    }
    const last = position.nodes.length - 1, col = Math.min(last - 1, Math.floor(x * last)), row = Math.min(last - 1, Math.floor(y * last));
    const u = x * last - col, v = y * last - row, node = (down, right) => position.nodes[row + down][col + right];
    return [0, 1].map((axis) => (1 - v) * ((1 - u) * node(0, 0)[axis] + u * node(0, 1)[axis])
      + v * ((1 - u) * node(1, 0)[axis] + u * node(1, 1)[axis]));
  }

  function showPosition(x, y) {
    let [longitude, latitude] = degrees(x, y);
    longitude = ((longitude + 180) % 360 + 360) % 360 - 180;
    const digits = position.geographic ? position.decimals : 5;
    const lines = [`${Math.abs(latitude).toFixed(digits)}° ${latitude < 0 ? "S" : "N"}  ${Math.abs(longitude).toFixed(digits)}° ${longitude < 0 ? "W" : "E"}`];
    const [west, south, east, north] = position.bounds;
    if (!position.geographic) {
      lines.push(`${position.axes[1]} ${(west + x * (east - west)).toFixed(position.decimals)}  ${position.axes[0]} ${(north - y * (north - south)).toFixed(position.decimals)}  (${position.crs})`);
    }
    find("position").textContent = lines.join("\n");
  }

  function pointed(event, part) {
    const box = event.currentTarget.getBoundingClientRect();
    const x = part.left + (event.clientX - box.left) / box.width * (part.right - part.left);
    const y = part.top + (event.clientY - box.top) / box.height * (part.bottom - part.top);
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
    showPosition(x, y);
    choose(cellAt(x, y));
  }

  // Series

  const TEXTS = {
    days: (step) => step.days === null ? "nothing built" : `${step.days.toFixed(2)} days`,
    seconds: (step) => duration(step.seconds),
    bytes: (step) => bytes(step.bytes),
    chunks: (step) => Object.entries(step.chunks).map(([state, number]) => `${number} ${states[state].name}`).join(", "),
  };
  const stepOf = (period) => steps.reduce((found, step, index) => step.first <= periods[period].index ? index : found, 0);

  function drawChart(chart) {
    const name = chart.dataset.measure, bars = chart.querySelector(".bars");
    const height = (step) => name === "chunks" ? Object.values(step.chunks).reduce((sum, number) => sum + number, 0) : step[name] ?? 0;
    const most = Math.max(1e-9, ...steps.map(height));
    bars.classList.toggle("many", steps.length > 60);
    bars.replaceChildren(...steps.map((step, index) => {
      const bar = document.createElement("div");
      const parts = name === "chunks" ? Object.entries(step.chunks).map(([state, number]) => [number, states[state].colour]) : [[height(step), ""]];
      for (const [number, fill] of parts) {
        const part = document.createElement("i");
        part.style.height = `${100 * number / most}%`;
        if (fill) part.style.background = fill;
        bar.append(part);
      }
      bar.addEventListener("pointerenter", () => showStep(chart, index));
      bar.addEventListener("click", () => move(nearest(step.first)));
      return bar;
    }));
    bars.addEventListener("pointerleave", () => showStep(chart, stepOf(now())));
    const ends = document.createElement("p");
    ends.className = "ends";
    const largest = steps.find((step) => height(step) === most);
    const texts = name === "chunks" || !largest ? [""] : [`most: ${TEXTS[name](largest)}`];
    for (const text of [steps[0].label, ...texts, steps.length > 1 ? steps[steps.length - 1].label : ""]) {
      const end = document.createElement("span");
      end.textContent = text;
      ends.append(end);
    }
    bars.after(ends);
  }

  function showStep(chart, index) {
    chart.querySelector("h3 span").textContent = `${steps[index].label}: ${TEXTS[chart.dataset.measure](steps[index])}`;
  }

  const nearest = (index) => periods.reduce((found, one, number) =>
    Math.abs(one.index - index) < Math.abs(periods[found].index - index) ? number : found, 0);

  // Together

  function update() {
    showPicture();
    choose(chosen);
    const step = stepOf(now());
    for (const chart of document.querySelectorAll(".chart")) {
      showStep(chart, step);
      chart.querySelectorAll(".bars > div").forEach((bar, index) => bar.classList.toggle("now", index === step));
    }
  }

  function move(period) {
    slider.value = String(period);
    update();
  }

  slider.addEventListener("input", update);
  find("before").addEventListener("click", () => move(now() - 1));
  find("after").addEventListener("click", () => move(now() + 1));
  for (const choice of document.querySelectorAll("input[name=layer]")) {
    choice.addEventListener("change", () => { layer = choice.value; showPicture(); });
  }
  measure.addEventListener("change", () => { showLegend(); drawMap(); });
  for (const kind of ["pointermove", "pointerdown"]) {
    picture.addEventListener(kind, (event) => pointed(event, position.picture));
    map.addEventListener(kind, (event) => pointed(event, { left: 0, top: 0, right: 1, bottom: 1 }));
  }
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = chosen ?? 0, row = Math.floor(from / cells.cols) + step[0], col = from % cells.cols + step[1];
    if (chosen === null) choose(0);
    else if (row >= 0 && row < cells.rows && col >= 0 && col < cells.cols) choose(row * cells.cols + col);
    const { left, right, top, bottom } = edges(chosen);
    showPosition((left + right) / 2, (top + bottom) / 2);
  });
  map.addEventListener("focus", () => { if (chosen === null) choose(0); });
  addEventListener("resize", () => { frames(); drawMap(); });

  // Pixels of a small cube are shown as squares; others are interpolated.
  function sharpen() {
    picture.style.imageRendering = picture.clientWidth > 3 * picture.naturalWidth ? "pixelated" : "auto";
  }
  picture.addEventListener("load", sharpen);

  function frames() {
    shape(find("picture-frame"), position.picture.proportion);
    sharpen();
    shape(find("map-frame"), position.proportion);
  }

  for (const badge of document.querySelectorAll(".state")) {
    const state = Object.values(states).find((one) => one.name === badge.dataset.state);
    if (state) badge.style.setProperty("--dot", state.colour);
  }
  find("bar").style.width = `${100 * position.picture.bar}%`;
  find("bar-text").textContent = position.picture.bar_text;
  frames();
  document.querySelectorAll(".chart").forEach(drawChart);
  // Clear days say more than a map in one colour.
  const ordinary = new Set(["written", "empty"]);
  const seen = new Set(cells.periods.flatMap((one) => one.state).filter(Boolean).map((state) => states[state].name));
  measure.value = [...seen].every((name) => ordinary.has(name)) ? "days" : "state";
  showLegend();
  update();
})();
