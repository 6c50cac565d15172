// What stands around a script of BertViz inside of a page: the little of require.js and jquery that it uses, one kind
// of attention at a time, the theme of the page, and what the script lacks: keys, names for what is read aloud, numbers.
"use strict";

const { data, numbers } = window.attentionView;
const root = document.getElementById("root");
const told = document.getElementById("told");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const state = { kind: 0, layer: data.layer, head: data.head, heads: data.heads };
const SVG = "http://www.w3.org/2000/svg";

// ---- require.js and jquery, as far as they are used

window.require = { config() {} };
window.requirejs = (names, draw) => { window.attentionView.draw = () => draw($, d3); };

function $(what) {
    const elements = typeof what !== "string" ? [what]
        : what.startsWith("<") ? [document.createElement(what.match(/\w+/)[0])]
            : [...document.querySelectorAll(what)];
    const each = (act) => (...given) => { elements.forEach((element) => act(element, ...given)); return found; };
    const found = {
        elements,
        val: each((element, value) => { element.value = value; }),
        text: each((element, text) => { element.textContent = text; }),
        attr: each((element, name, value) => element.setAttribute(name, value)),
        append: each((element, child) => element.append(...child.elements)),
        empty: each((element) => element.replaceChildren()),
        on: each((element, type, act) => element.addEventListener(type, act)),
        change: each(() => {}),
    };
    return found;
}

// ---- The numbers

function unpacked(about) {
    // All low bytes stand first, then all high ones.
    const size = about.shape.reduce((product, axis) => product * axis, 1);
    let next = 0;
    const at = (axis) => Array.from({ length: about.shape[axis] }, () => {
        if (axis < about.shape.length - 1) return at(axis + 1);
        const place = about.at + next++;
        return ((numbers[place] | numbers[place + size] << 8) << 16 >> 16) / about.scale;
    });
    return at(0);
}

function kindOf(number) {
    const kind = data.kinds[number];
    kind.attn ??= unpacked(kind.weights);
    if (kind.queries && !Array.isArray(kind.queries)) {
        kind.queries = unpacked(kind.queries);
        kind.keys = unpacked(kind.keys);
    }
    return kind;
}

// ---- Drawing

function mode() {
    return data.mode || (dark.matches ? "dark" : "light");
}

function widest(kind, size) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
    return Math.max(...[...kind.left_text, ...kind.right_text].map((word) => pen.measureText(word).width));
}

function colours(count) {
    return Array.from({ length: count }, (_, number) => data.colours[mode()][number % data.colours.light.length]);
}

function draw() {
    const kind = kindOf(state.kind);
    const layer = kind.layers.includes(state.layer) ? state.layer : kind.layers[0];
    const head = kind.heads.includes(state.head) ? state.head : kind.heads[0];
    const box = {
        head: Math.max(110, widest(kind, 15) + 16),
        model: Math.max(80, widest(kind, 13) + 8),
        neuron: Math.max(120, widest(kind, 15) + 34),
    }[data.view];
    document.documentElement.dataset.mode = mode();
    controls(kind);
    d3.schemeCategory10 = colours(Math.max(10, kind.heads.length));
    window.bertviz_params = {
        attention: [kind], default_filter: "0", root_div_id: "root", display_mode: mode(), box_width: Math.ceil(box),
        include_layers: kind.layers, include_heads: kind.heads,
        total_heads: Math.max(kind.heads.length, data.columns), bidirectional: kind.bidirectional,
        layer: data.view === "neuron" ? kind.layers.indexOf(layer) : layer,
        head: kind.heads.indexOf(head),
        heads: state.heads && state.heads.map((number) => kind.heads.indexOf(number)).filter((place) => place >= 0),
    };
    window.attentionView.draw();
    name("layer", kind.layers);
    name("att_head", kind.heads);
    const vis = document.getElementById("vis");
    new MutationObserver(() => mend(kind)).observe(vis, { childList: true });
    mend(kind);
    told.textContent = HINTS[data.view];
}

const HINTS = {
    head: "Point at a word, or go there with Tab and the arrow keys. Squares are heads: Enter switches one, Shift+Enter "
        + "(double click) shows it alone.",
    model: "Choose a layer and a head: click, or go there with Tab and the arrow keys and press Enter.",
    neuron: "Point at a word on the left, or go there with Tab and the arrow keys. Its ⊕, or Enter, shows how its "
        + "weights are computed.",
};

function controls(kind) {
    const choice = (label, id, options = "") => `<span><label for="${id}">${label}</label> <select id="${id}">${options}</select></span>`;
    const bar = document.getElementById("controls");
    bar.innerHTML = (data.kinds.length > 1 ? choice("Attention", "kind") : "")
        + (data.view !== "model" ? choice("Layer", "layer") : "")
        + (data.view === "neuron" ? choice("Head", "att_head") : "");
    document.getElementById("vis").replaceWith(Object.assign(document.createElement("div"), { id: "vis" }));
    const kinds = document.getElementById("kind");
    kinds?.append(...data.kinds.map((each, number) => new Option(each.name, number, false, each === kind)));
    kinds?.addEventListener("change", () => {
        state.kind = +kinds.value;
        draw();
        document.getElementById("kind").focus();
    });
}

// The options of a select get the numbers of what is shown, where a part of a model is shown.
function name(id, shown) {
    const select = document.getElementById(id);
    if (!select) return;
    [...select.options].forEach((option, place) => { option.textContent = shown[place]; });
    select.addEventListener("change", () => {
        state[id === "layer" ? "layer" : "head"] = shown[select.selectedIndex];
        select.focus();
    });
}

function layerNow(kind) {
    return document.getElementById("layer")?.selectedIndex ?? 0;
}

// ---- After each drawing: size, keys, names

function mend(kind) {
    const svg = document.querySelector("#vis svg");
    const words = 2 * window.bertviz_params.box_width;
    const wide = { head: Math.max(words + 115, 20 * kind.heads.length), model: 970, neuron: words + 840 }[data.view];
    fit(svg, wide, parseFloat(svg.getAttribute("height")));
    svg.removeAttribute("height");
    svg.setAttribute("width", "100%");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", data.title);
    ({ head: mendHead, model: mendModel, neuron: mendNeuron })[data.view](svg, kind);
}

// The drawing is as large as what is in it, and shrinks where the page is narrower.
function fit(svg, wide, high) {
    const drawn = svg.getBBox(), left = Math.min(0, drawn.x) - 4, top = Math.min(0, drawn.y) - 4;
    const right = Math.max(wide, drawn.x + drawn.width) + 4, bottom = Math.max(high, drawn.y + drawn.height) + 4;
    svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    svg.style.maxWidth = `${right - left}px`;
}

function label(element, role, text) {
    element.setAttribute("role", role);
    element.setAttribute("aria-label", text);
}

// One of `elements` can be reached with Tab, the others from there with the arrow keys; `columns` of them are a row.
function roving(svg, elements, columns, { focus, blur, press }) {
    elements.forEach((element, place) => {
        element.setAttribute("tabindex", place ? -1 : 0);
        element.addEventListener("focus", () => {
            elements.forEach((other) => other.setAttribute("tabindex", other === element ? 0 : -1));
            ring(svg, element);
            focus?.(element, place);
        });
        element.addEventListener("blur", () => {
            svg.querySelector(".ring")?.remove();
            blur?.(element, place);
        });
        element.addEventListener("keydown", (event) => {
            const rows = { ArrowDown: columns, ArrowUp: -columns };
            const steps = { ...rows, ...(columns > 1 || elements.sideways ? { ArrowRight: 1, ArrowLeft: -1 } : {}) };
            if (event.key in steps || event.key === "Home" || event.key === "End") {
                const to = event.key === "Home" ? 0 : event.key === "End" ? elements.length - 1
                    : place + steps[event.key];
                elements[to]?.focus();
            } else if ((event.key === "Enter" || event.key === " ") && press) {
                press(element, event.shiftKey, place);
            } else return;
            event.preventDefault();
        });
    });
}

function ring(svg, element) {
    svg.querySelector(".ring")?.remove();
    const place = element.getBBox(), mark = document.createElementNS(SVG, "rect");
    mark.setAttribute("class", "ring");
    for (const [side, value] of [["x", place.x - 1], ["y", place.y - 1], ["width", place.width + 2],
        ["height", place.height + 2]]) mark.setAttribute(side, value);
    svg.append(mark);
}

function fire(element, type) {
    element.dispatchEvent(new MouseEvent(type, { bubbles: type !== "mouseleave" }));
}

// The strongest of what a word looks at, or of who looks at it, as a sentence.
function sentence(kind, side, place, tables) {
    const weights = tables.flatMap(({ head, table }) =>
        (side === "left" ? table[place] : table.map((row) => row[place])).map((weight, other) => ({ head, other, weight })));
    const strongest = weights.sort((one, other) => other.weight - one.weight).slice(0, 3)
        .filter(({ weight }) => weight >= 0.005);
    const [own, others] = side === "left" ? [kind.left_text, kind.right_text] : [kind.right_text, kind.left_text];
    const parts = strongest.map(({ head, other, weight }) =>
        `“${others[other]}” ${weight.toFixed(2)}${tables.length > 1 ? ` (head ${head})` : ""}`);
    return `“${own[place]}” (${place}) ${side === "left" ? "looks at" : "is looked at by"} `
        + `${parts.join(", ") || "nothing"}`;
}

function mendHead(svg, kind) {
    const palette = colours(kind.heads.length);
    const squares = [...svg.lastElementChild.querySelectorAll("rect")];
    const isOn = (place) => squares[place].getAttribute("fill") === palette[place];
    const dash = () => svg.querySelectorAll(".headAttention").forEach((lines, place) => {
        const dash = data.dashes[Math.floor(place / data.colours.light.length) % data.dashes.length];
        lines.style.strokeDasharray = dash.join(" ") || "none";
    });
    const state_of = () => {
        squares.forEach((square, place) => square.setAttribute("aria-checked", isOn(place)));
        state.heads = kind.heads.filter((_, place) => isOn(place));
    };
    squares.forEach((square, place) => {
        const number = document.createElementNS(SVG, "text");
        number.textContent = kind.heads[place];
        number.setAttribute("class", "number");
        number.setAttribute("x", 20 * place + 10);
        number.setAttribute("y", 14);
        square.parentNode.append(number);
        label(square, "checkbox", `head ${kind.heads[place]}`);
        for (const type of ["click", "dblclick"]) square.addEventListener(type, state_of);
    });
    squares.sideways = true;
    dash();
    state_of();
    roving(svg, squares, squares.length, {
        focus: (square, place) => { told.textContent = `Head ${kind.heads[place]}: Enter switches it, Shift+Enter `
            + "shows it alone, or all again."; },
        press: (square, alone) => { fire(square, alone ? "dblclick" : "click"); },
    });
    for (const side of ["left", "right"]) {
        const words = [...svg.querySelectorAll(`#${side} > g:last-child > g`)];
        const seen = (place) => sentence(kind, side, place, kind.attn[layerNow(kind)]
            .map((table, head) => ({ head: kind.heads[head], table })).filter((_, head) => isOn(head)));
        words.forEach((word, place) => {
            label(word, "img", `${side === "left" ? "query" : "key"} ${place}: ${kind[`${side}_text`][place]}`);
            word.addEventListener("mouseover", () => { told.textContent = seen(place); });
        });
        roving(svg, words, 1, {
            focus: (word) => fire(word, "mouseover"),
            blur: () => fire(svg.querySelector(`#${side}`), "mouseleave"),
        });
    }
}

function mendModel(svg, kind) {
    const thumbnails = [...svg.querySelectorAll(".attn_background")].map((each) => each.parentNode.lastElementChild);
    const columns = kind.heads.length, { width, height } = svg.viewBox.baseVal;
    thumbnails.forEach((thumbnail, place) => {
        label(thumbnail, "button", `layer ${kind.layers[Math.floor(place / columns)]}, head ${kind.heads[place % columns]}`);
        thumbnail.setAttribute("aria-pressed", false);
        thumbnail.addEventListener("click", () => {
            const isOpen = svg.querySelector(".detail") !== null;
            fit(svg, width - 8, height - 8);
            thumbnails.forEach((other) => other.setAttribute("aria-pressed", isOpen && other === thumbnail));
            told.textContent = isOpen ? `Layer ${kind.layers[Math.floor(place / columns)]}, head `
                + `${kind.heads[place % columns]}: point at a word on the left, or go there with Tab.` : HINTS.model;
            const words = [...svg.querySelectorAll("g.detail > g")].filter((word) => word.querySelector(".token"))
                .slice(0, kind.left_text.length);
            words.forEach((word, row) => {
                label(word, "img", `query ${row}: ${kind.left_text[row]}`);
                word.addEventListener("mouseover", () => { told.textContent = sentence(kind, "left", row,
                    [{ head: 0, table: kind.attn[Math.floor(place / columns)][place % columns] }]); });
            });
            roving(svg, words, 1, {
                focus: (word) => fire(word, "mouseover"), blur: (word) => fire(word, "mouseleave") });
        });
    });
    roving(svg, thumbnails, columns, { press: (thumbnail) => fire(thumbnail, "click") });
}

function mendNeuron(svg, kind) {
    const table = () => kind.attn[layerNow(kind)][document.getElementById("att_head").selectedIndex];
    const columns = {};
    for (const group of ["collapsed", "expanded"]) {
        const words = columns[group] = [...svg.querySelectorAll(`#${group} #leftText > g`)];
        words.forEach((word, place) => {
            label(word, "img", `query ${place}: ${kind.left_text[place]}`);
            word.addEventListener("mouseover", () => {
                told.textContent = sentence(kind, "left", place, [{ head: 0, table: table() }]);
            });
        });
        roving(svg, words, 1, {
            focus: (word) => fire(word, "mouseover"),
            blur: (word) => fire(word, "mouseleave"),
            press: (word, _, place) => {
                fire(word.lastElementChild, "click");
                const other = columns[group === "collapsed" ? "expanded" : "collapsed"][place];
                other.focus();
            },
        });
    }
}

dark.addEventListener("change", draw);
window.attentionView.begin = draw;
