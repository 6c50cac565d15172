const SIDE = 300, REACH = 3;
const across = (x) => SIDE / 2 + (x / REACH) * (SIDE / 2 - 12);
const down = (y) => SIDE / 2 - (y / REACH) * (SIDE / 2 - 12);

function arrow(colour, wide) {
  const line = make("svg:line", { stroke: colour, "stroke-width": wide, "stroke-linecap": "round" });
  const head = make("svg:path", { fill: colour });
  return {
    nodes: [line, head],
    to([x, y]) {
      const [ex, ey, angle] = [across(x), down(y), Math.atan2(-y, x)];
      const wing = (turn) => `${ex - 11 * Math.cos(angle + turn)},${ey - 11 * Math.sin(angle + turn)}`;
      change(line, { x1: across(0), y1: down(0), x2: ex, y2: ey });
      change(head, { d: Math.hypot(x, y) < 0.05 ? "" : `M${ex},${ey}L${wing(0.4)}L${wing(-0.4)}Z` });
    },
  };
}

function plane(model, fixed, moveTo) {
  const drawing = make("svg:svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, class: "tt-plane", role: "group",
    "aria-label": "The plane of the query and the keys" });
  for (let tickAt = -REACH; tickAt <= REACH; tickAt++) {
    const strong = tickAt === 0 ? "tt-axis" : "tt-grid";
    drawing.append(
      make("svg:line", { class: strong, x1: across(tickAt), x2: across(tickAt), y1: 0, y2: SIDE }),
      make("svg:line", { class: strong, y1: down(tickAt), y2: down(tickAt), x1: 0, x2: SIDE }));
  }
  fixed.keys.forEach((key, index) => {
    const drawn = arrow(COLOURS[index], 3);
    drawn.to(key);
    const far = 1 + 0.32 / Math.hypot(...key);
    drawing.append(...drawn.nodes, make("svg:text", { x: across(key[0] * far), y: down(key[1] * far) + 4,
      "text-anchor": "middle", fill: COLOURS[index], class: "tt-name" }, fixed.names[index]));
  });
  const query = arrow("var(--tt-ink)", 4);
  const grip = make("svg:circle", { r: 11, class: "tt-grip" });
  const name = make("svg:text", { class: "tt-name", fill: "var(--tt-ink)", "text-anchor": "middle" }, "query");
  drawing.append(...query.nodes, name, grip);

  const place = (event) => {
    const box = drawing.getBoundingClientRect();
    const scale = (SIDE / 2 - 12) / REACH;
    const x = ((event.clientX - box.left) / box.width - 0.5) * SIDE / scale;
    const y = (0.5 - (event.clientY - box.top) / box.height) * SIDE / scale;
    moveTo([x, y].map((one) => Math.round(Math.max(-REACH, Math.min(REACH, one)) * 20) / 20));
  };
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    place(event);
    event.preventDefault();
  });
  drawing.addEventListener("pointermove", (event) => { if (drawing.hasPointerCapture(event.pointerId)) place(event); });
  return {
    node: drawing,
    to([x, y]) {
      query.to([x, y]);
      change(grip, { cx: across(x), cy: down(y) });
      change(name, { x: across(x), y: down(y) - 16 });
    },
  };
}

function render({ model, el }) {
  const fixed = model.get("fixed");
  const moveTo = (query) => { show(query); ask(model, { query }); };
  const drawn = plane(model, fixed, moveTo);
  const polar = ([x, y]) => [Math.round(Math.atan2(y, x) * 180 / Math.PI), Math.hypot(x, y)];
  const asked = () => model.get("asked");
  // Of a query of length 0 the direction would be lost, so the sliders keep it.
  let [turned, stretched] = polar(asked().query);
  const fromSliders = () => {
    const angle = turned * Math.PI / 180;
    const query = [stretched * Math.cos(angle), stretched * Math.sin(angle)];
    drawn.to(query);
    ask(model, { query });
  };
  const turn = slider("turn the query", { min: -180, max: 180, step: 1, value: turned, shown: (now) => `${now}°`,
    moved: (now) => { turned = now; fromSliders(); } });
  const stretch = slider("stretch it", { min: 0, max: 4.25, step: 0.05, value: stretched,
    shown: (now) => now.toFixed(2), moved: (now) => { stretched = now; fromSliders(); } });
  function show(query) {
    drawn.to(query);
    [turned, stretched] = polar(query);
    turn.set(turned);
    stretch.set(stretched);
  }

  const rows = fixed.names.map((name, index) => {
    const score = make("span", { class: "tt-number" }), weight = make("span", { class: "tt-number" });
    const scoreBar = make("div", { class: "tt-fill", style: `background:${COLOURS[index]}` });
    const weightBar = make("div", { class: "tt-fill", style: `background:${COLOURS[index]}` });
    const hide = fixed.switches && tick("hide", asked().hidden[index], (on) => {
      const hidden = [...asked().hidden];
      hidden[index] = on;
      ask(model, { hidden });
    });
    if (hide) hide.node.firstChild.setAttribute("aria-label", `hide ${name}`);
    const node = make("tr", {},
      make("th", { scope: "row", style: `color:${COLOURS[index]}` }, name),
      make("td", {}, make("div", { class: "tt-bar tt-signed" }, scoreBar), score),
      make("td", {}, make("div", { class: "tt-bar" }, weightBar), weight),
      make("td", { class: "tt-number" }, String(fixed.values[index])),
      ...(hide ? [make("td", {}, hide.node)] : []));
    return { node, score, weight, scoreBar, weightBar, hide };
  });
  const output = make("span", { class: "tt-number" });
  const pointer = make("svg:path", { fill: "var(--tt-ink)" });
  const [least, most] = [Math.min(...fixed.values), Math.max(...fixed.values)];
  const along = (value) => 14 + (value - least) / (most - least) * 272;
  const ruler = make("svg:svg", { viewBox: "0 0 300 44", class: "tt-ruler", "aria-hidden": "true" },
    make("svg:line", { class: "tt-axis", x1: along(least), x2: along(most), y1: 22, y2: 22 }), pointer);
  fixed.values.forEach((value, index) => ruler.append(
    make("svg:circle", { cx: along(value), cy: 22, r: 5, fill: COLOURS[index] }),
    make("svg:text", { x: along(value), y: 41, "text-anchor": "middle", class: "tt-name", fill: COLOURS[index] },
      String(value))));
  const head = ["", "score", "weight", "value", ...(fixed.switches ? ["mask"] : [])];
  const said = telling();
  const divided = fixed.switches && tick("divide by the root of head_dim", asked().divided,
    (on) => ask(model, { divided: on }));

  el.append(make("div", { class: "tt-widget tt-query" },
    make("div", { class: "tt-side" }, drawn.node, turn.node, stretch.node),
    make("div", { class: "tt-side" },
      make("table", {},
        make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...rows.map((row) => row.node))),
      make("div", { class: "tt-output" }, "output ", output), ruler,
      ...(divided ? [divided.node] : []), said.node)));
  show(asked().query);

  return follow(model, () => {
    const told = model.get("told");
    rows.forEach((row, index) => {
      const hidden = asked().hidden[index], score = told.scores[index], weight = told.weights[index];
      row.score.textContent = score.toFixed(2);
      row.weight.textContent = weight.toFixed(3);
      const long = Math.min(1, Math.abs(score) / 6) * 50;
      row.scoreBar.style.left = `${score < 0 ? 50 - long : 50}%`;
      row.scoreBar.style.width = `${long}%`;
      row.weightBar.style.width = `${Math.max(0, Math.min(1, weight)) * 100}%`;
      row.node.classList.toggle("tt-hidden", hidden);
      if (row.hide) row.hide.set(hidden);
    });
    if (divided) divided.set(asked().divided);
    output.textContent = told.output.toFixed(2);
    // A value outside the ruler (every key hidden, or a wrong function) is shown at its end.
    const at = along(Math.max(least, Math.min(most, told.output)));
    change(pointer, { d: `M${at},14l-7,-12h14Z` });
    said.say(told.sentence, told.fault);
  });
}

export default { render };
