const DASHES = ["", "6 3", "2 3"];
const WIDE = 340, HIGH = 190, LEFT = 34, RIGHT = 8, TOP = 8, BOTTOM = 34;
const short = (number) => Number.isInteger(number) ? String(number) : String(+number.toPrecision(3));

function text(x, y, words, anchor = "middle") {
  return make("svg:text", { x, y, "text-anchor": anchor, class: "tt-small" }, words);
}

function frame(panel) {
  return make("svg:svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "tt-panel", role: "img",
    "aria-label": panel.title });
}

function legend(node, panel) {
  const names = Object.keys(panel.series);
  if (names.length < 2) return;
  names.forEach((name, index) => node.append(make("span", { class: "tt-key" },
    make("span", { class: "tt-swatch", style: `background:${COLOURS[index % 3]}` }), name)));
}

function axes(panel) {
  const drawing = frame(panel), [low, high] = panel.span;
  const y = (value) => TOP + (high - Math.max(low, Math.min(high, value))) / (high - low) * (HIGH - TOP - BOTTOM);
  for (const value of [low, (low + high) / 2, high]) drawing.append(
    make("svg:line", { class: "tt-grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }),
    text(LEFT - 4, y(value) + 4, short(value), "end"));
  return { drawing, y };
}

const draw = {
  bars(panel) {
    const { drawing, y } = axes(panel), series = Object.values(panel.series);
    const slot = (WIDE - LEFT - RIGHT) / panel.names.length, wide = 0.8 * slot / series.length;
    series.forEach((numbers, which) => numbers.forEach((value, place) => {
      const [from, to] = [y(Math.max(0, panel.span[0])), y(value)];
      drawing.append(make("svg:rect", { x: LEFT + slot * (place + 0.1) + which * wide, width: wide * 0.94,
        y: Math.min(from, to), height: Math.max(0.5, Math.abs(to - from)), fill: COLOURS[which % 3] },
        make("svg:title", {}, `${panel.names[place]}: ${short(value)}`)));
    }));
    panel.names.forEach((name, place) => drawing.append(text(LEFT + slot * (place + 0.5), HIGH - 16, name)));
    drawing.append(make("svg:line", { class: "tt-axis", x1: LEFT, x2: WIDE - RIGHT, y1: y(0), y2: y(0) }));
    return drawing;
  },
  lines(panel) {
    const { drawing, y } = axes(panel), xs = panel.x, [first, last] = [xs[0], xs[xs.length - 1]];
    const x = (value) => LEFT + (value - first) / (last - first) * (WIDE - LEFT - RIGHT);
    Object.values(panel.series).forEach((numbers, which) => drawing.append(make("svg:polyline", {
      points: numbers.map((value, place) => `${x(xs[place])},${y(value)}`).join(" "), fill: "none",
      stroke: COLOURS[which % 3], "stroke-width": 2, "stroke-dasharray": DASHES[which % 3] })));
    if (panel.at !== null) drawing.append(make("svg:line", { x1: x(panel.at), x2: x(panel.at), y1: TOP,
      y2: HIGH - BOTTOM, stroke: "var(--tt-ink)", "stroke-width": 1.5 }));
    drawing.append(text(LEFT, HIGH - 20, short(first)), text(WIDE - RIGHT, HIGH - 20, short(last), "end"),
      text((LEFT + WIDE) / 2, HIGH - 6, panel.xlabel));
    return drawing;
  },
  table(panel) {
    const cell = (value) => make("td", { class: "tt-cell", title: short(value),
      style: `background:color-mix(in srgb, var(--tt-first) ${Math.round(100 * value)}%, transparent)` },
      make("span", { class: "tt-hint" }, short(value)));
    return make("table", { class: "tt-table", "aria-label": panel.title },
      make("thead", {}, make("tr", {}, make("th"), ...panel.columns.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...panel.numbers.map((row, place) =>
        make("tr", {}, make("th", { scope: "row" }, panel.rows[place]), ...row.map(cell)))));
  },
};

function render({ model, el }) {
  const asked = () => model.get("asked");
  const controls = model.get("fixed").controls.map((control) => {
    const { name, label, kind } = control, moved = (value) => ask(model, { [name]: value });
    const value = asked()[name];
    if (kind === "switch") return tick(label, value, moved).node;
    if (kind === "choice") {
      const select = make("select", { onchange: () => moved(+select.value) },
        ...control.choices.map((choice, index) => make("option", { value: index }, choice)));
      select.value = value;
      return make("label", { class: "tt-tick" }, `${label} `, select);
    }
    const shown = (now) => control.whole ? String(now) : now.toFixed(2);
    return slider(label, { ...control, value, shown, moved }).node;
  });
  const panels = make("div", { class: "tt-columns" }), said = telling();
  el.append(make("div", { class: "tt-widget tt-dials" }, make("div", { class: "tt-controls" }, ...controls), panels,
    said.node));
  return follow(model, () => {
    const told = model.get("told");
    panels.replaceChildren(...told.panels.map((panel) => {
      const head = make("div", { class: "tt-title" }, panel.title);
      const names = make("div", { class: "tt-keys" });
      if (panel.series) legend(names, panel);
      return make("div", { class: "tt-side" }, head, names, draw[panel.kind](panel));
    }));
    said.say(told.sentence, told.fault);
  });
}

export default { render };
