const percent = (share) => share >= 0.0995 ? `${(100 * share).toFixed(0)} %`
  : share >= 0.0005 ? `${(100 * share).toFixed(1)} %` : share > 0 ? "< 0.1 %" : "0";
const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "⏎");

function choices(model, count, go) {
  const rows = Array.from({ length: count }, (_, index) => {
    const name = make("code"), number = make("span", { class: "tt-number" });
    const fill = make("div", { class: "tt-fill", style: "background:var(--tt-first)" });
    const raw = make("div", { class: "tt-raw" });
    const node = make("button", { class: "tt-choice", type: "button", onclick: () => go(index) },
      name, make("div", { class: "tt-bar" }, fill, raw), number);
    return { node, name, number, fill, raw };
  });
  return {
    nodes: rows.map((row) => row.node),
    draw(told) {
      rows.forEach((row, index) => {
        const { text, raw, share } = told.choices[index];
        row.name.textContent = visible(text);
        row.number.textContent = percent(share);
        row.fill.style.width = `${100 * share}%`;
        row.raw.style.width = `${100 * raw}%`;
        row.node.disabled = share === 0;
        row.node.setAttribute("aria-label",
          `go on with ${visible(text)}, ${percent(share)}; the model's probability is ${percent(raw)}`);
      });
    },
  };
}

function chooser(label, names, value, moved) {
  const select = make("select", { "aria-label": label, onchange: () => moved(+select.value) });
  const fill = (now, chosen) => {
    select.replaceChildren(...now.map((name, index) => make("option", { value: index }, name)));
    select.value = Math.min(chosen, now.length - 1);
  };
  fill(names, value);
  return { node: make("label", {}, `${label} `, select), fill, select };
}

function render({ model, el }) {
  const fixed = model.get("fixed"), asked = () => model.get("asked"), told = () => model.get("told");
  // A draw counts up: two equal draws are two questions. Whatever else is asked keeps the text as it stands now.
  const go = (ids) => ask(model, { ids, draw: 0 });
  const text = make("div", { class: "tt-text", role: "img" });
  const bars = choices(model, told().choices.length, (index) => go([...told().ids, told().choices[index].id]));
  const move = (name) => (value) => ask(model, { [name]: value, ids: told().ids, draw: 0 });
  const temperature = slider("temperature", { min: 0.1, max: 3, step: 0.1, value: asked().temperature,
    shown: (now) => now.toFixed(1), moved: move("temperature") });
  const topK = slider("top-k", { min: 0, max: fixed.most_top_k, step: 1, value: asked().top_k,
    shown: (now) => now ? String(now) : "all", moved: move("top_k") });
  const topP = slider("top-p", { min: 0.05, max: 1, step: 0.05, value: asked().top_p,
    shown: (now) => now < 1 ? now.toFixed(2) : "all", moved: move("top_p") });
  const draw = make("button", { type: "button", onclick: () => ask(model, { ids: told().ids, draw: asked().draw + 1 }) },
    "draw one");
  const back = make("button", { type: "button", onclick: () => go(told().ids.slice(0, -1)) }, "take one back");
  const again = make("button", { type: "button", onclick: () => go(fixed.begun) }, "begin again");
  const said = telling();

  const numbered = (word, count) => Array.from({ length: count }, (_, index) => `${word} ${index}`);
  const looking = [];
  if (fixed.heads.length) {
    const head = chooser("head", numbered("head", fixed.heads[asked().layer]), asked().head, move("head"));
    const layer = chooser("layer", numbered("layer", fixed.heads.length), asked().layer, (now) => {
      head.fill(numbered("head", fixed.heads[now]), +head.select.value);
      ask(model, { layer: now, head: +head.select.value, ids: told().ids, draw: 0 });
    });
    looking.push(make("div", { class: "tt-buttons" }, "where the last token looks: ", layer.node, head.node));
  }
  el.append(make("div", { class: "tt-widget tt-choosing" }, text,
    make("div", { class: "tt-columns" },
      make("div", { class: "tt-side" }, ...bars.nodes),
      make("div", { class: "tt-side" }, temperature.node, topK.node, topP.node,
        make("div", { class: "tt-buttons" }, draw, back, again), ...looking, said.node))));

  return follow(model, () => {
    const now = told(), most = Math.max(...now.attention, 1e-9);
    text.replaceChildren(...now.tokens.map((token, index) => {
      const share = now.attention[index] ?? 0;
      const last = index === now.tokens.length - 1 ? " tt-last" : "";
      return make("span", { class: `tt-token${last}`, title: `${visible(token)}: weight ${share.toFixed(2)}`,
        style: `background:color-mix(in srgb, var(--tt-second) ${Math.round(65 * share / most)}%, transparent)` },
        visible(token));
    }));
    text.setAttribute("aria-label", `The text so far: ${now.tokens.join("")}`);
    bars.draw(now);
    back.disabled = now.ids.length <= 1;
    again.disabled = now.ids.length === fixed.begun.length && now.ids.every((id, index) => id === fixed.begun[index]);
    said.say(now.sentence, now.fault);
  });
}

export default { render };
