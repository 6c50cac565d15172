// What all movable things need: elements, sliders, the sentence below.

const COLOURS = ["var(--tt-first)", "var(--tt-second)", "var(--tt-third)"];
const SVG = "http://www.w3.org/2000/svg";
// In JupyterLab arrow keys fold headings and Enter opens the cell, unless the element in focus says that it wants them.
const WITH_KEYS = ["input", "select", "button"];

// Return an element; a key that begins with "on" is a listener, of "svg:line" the part behind the colon is the tag.
function make(tag, attributes = {}, ...children) {
  const drawn = tag.startsWith("svg:");
  const node = drawn ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  if (WITH_KEYS.includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function change(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

// Change what is asked: the answer comes back as "told".
function ask(model, changed) {
  model.set("asked", { ...model.get("asked"), ...changed });
  model.save_changes();
}

// A slider with its name and number; `shown` writes the number. `set(number)` moves it without asking.
function slider(label, { min, max, step, value, shown = String, moved }) {
  const number = make("output", {}, shown(value));
  const input = make("input", {
    type: "range", min, max, step, "aria-label": label,
    oninput: () => { tell(+input.value); moved(+input.value); },
  });
  const tell = (now) => {
    number.textContent = shown(now);
    input.setAttribute("aria-valuetext", shown(now));
  };
  const set = (now) => { input.value = now; tell(now); };
  set(value);
  return { node: make("label", { class: "tt-slider" }, make("span", {}, label), input, number), set, input };
}

function tick(label, on, moved) {
  const input = make("input", { type: "checkbox", onchange: () => moved(input.checked) });
  input.checked = on;
  return { node: make("label", { class: "tt-tick" }, input, label), set: (now) => { input.checked = now; } };
}

// The sentence that says what is seen; a screen reader reads it when the hand rests.
function telling() {
  const said = make("p", { class: "tt-said", role: "status" });
  let waiting;
  return {
    node: said,
    say(sentence, fault) {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        said.textContent = fault ? `Your function stopped: ${fault}` : sentence;
        said.classList.toggle("tt-fault", Boolean(fault));
      }, 150);
    },
  };
}

// Draw now and after every answer, until the view is taken away.
function follow(model, draw) {
  model.on("change:told", draw);
  draw();
  return () => model.off("change:told", draw);
}
