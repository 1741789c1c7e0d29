// Elements. Whatever comes from the data goes in as text or as the value of an attribute, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "set") for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Addresses inside the page
const link = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");
function linkTo(path, query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return "#/" + path + (pairs.length ? "?" + new URLSearchParams(pairs) : "");
}
const classLink = (index) => link("class", classes[index]);
// Of heads of columns, which are upright where all names of classes are short
const uprightNames = () => (classes.every((name) => name.length < 3) ? "upright" : "");
const ruleLink = (rule) => link("rule", rule + 1);
const kernelLink = (atom) => link("kernel", program.atoms[atom]);
const imageLink = (image) => link("image", images.ids[image]);

// A list that grows: the first `size` items, and a button for as many more
function growing(container, items, size, make) {
  let shown = 0;
  const more = h("button", { class: "more", type: "button", on: { click: () => show() } });
  function show() {
    const next = items.slice(shown, shown + size);
    container.append(...next.map(make));
    shown += next.length;
    more.textContent = `Show ${format(Math.min(size, items.length - shown))} more of ${format(items.length)}`;
    more.hidden = shown >= items.length;
  }
  show();
  return [container, more];
}

// A choice from a list: pairs [value, text]
function choose(name, text, options, value, change) {
  const select = h("select", { name, on: { change: () => change(select.value) } }, options.map(([v, t]) => h("option", { value: v }, t)));
  select.value = options.some(([v]) => v === value) ? value : options[0][0];
  return h("label", { class: "field" }, h("span", {}, text), select);
}

function section(title, ...children) {
  return h("section", { class: "panel" }, title ? h("h2", {}, title) : null, ...children);
}
const note = (...children) => h("p", { class: "note" }, ...children);

function say(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => notice.classList.remove("shown"), 2500);
}
