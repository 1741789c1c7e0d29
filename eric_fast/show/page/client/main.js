// The frame: addresses, tabs, the start layer, the theme, keys.

const TABS = [["", "Overview"], ["classes", "Classes"], ["kernels", "Kernels"], ["program", "Program"], ["images", "Images"], ...(isVote ? [["votes", "Votes"]] : [])];
const PAGES = {
  "": () => overviewPage(),
  classes: () => classesPage(),
  class: ([name]) => classPage(name),
  rule: ([text]) => rulePage(text),
  kernels: (_, query) => kernelsPage(query),
  kernel: ([name]) => kernelPage(name),
  program: (_, query) => programPage(query),
  votes: (_, query) => (isVote ? votesPage(query) : missing("This program has no votes.")),
  images: (_, query) => imagesPage(query),
  image: ([id]) => imagePage(id),
  help: () => helpPage(),
};
const TAB_OF = { class: "classes", rule: "classes", kernel: "kernels", image: "images" };
const missing = (words) => ({ title: "Not here", content: [h("h1", {}, "Not here"), h("p", { class: "lead" }, words), h("p", {}, h("a", { href: "#/" }, "To the overview"))] });

function parseHash() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    parts = ["(an address that can’t be read)"];
  }
  return { name: parts[0], rest: parts.slice(1), query: new URLSearchParams(search) };
}

const main = document.getElementById("main");
function showPage({ focus = true } = {}) {
  const { name, rest, query } = parseHash();
  if (name !== "image") whatIf = null;
  const page = Object.hasOwn(PAGES, name) ? PAGES[name](rest, query) : missing(`This report has no page “${name}”.`);
  main.replaceChildren(...page.content.flat(Infinity).filter(Boolean));
  document.title = `${page.title} · ${doc.summary.title}`;
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.dataset.tab === (TAB_OF[name] ?? name)) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  page.after?.(main);
  if (focus) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

// The address holds the start layer, where it isn't the one that the report opens with: `#/class/cat?start=conv3`
const openingStart = state.start;
function setStart(place) {
  state.start = place;
  whatIf = null;
  keepStart();
  showPage({ focus: false });
}
function keepStart() {
  const [path, search = ""] = location.hash.split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  const wanted = state.start === openingStart ? null : starts[state.start].name;
  if (wanted === query.get("start")) return;
  if (wanted === null) query.delete("start");
  else query.set("start", wanted);
  history.replaceState(null, "", (path || "#/") + (query.size ? "?" + query : ""));
}
function readStart() {
  const place = findStart(parseHash().query.get("start"));
  if (place >= 0 && place !== state.start) {
    state.start = place;
    whatIf = null;
    const select = document.querySelector("#tools select[name=start]");
    if (select) select.value = String(place);
  }
  keepStart();
}

const THEMES = ["auto", "light", "dark"];
function setTheme(theme, button) {
  document.documentElement.dataset.theme = theme;
  button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme];
  button.title = button.ariaLabel = `Theme: ${theme}`;
}
function themeButton() {
  let theme = "auto";
  const button = h("button", { type: "button", class: "icon", id: "theme", on: { click: () => setTheme((theme = THEMES[(THEMES.indexOf(theme) + 1) % 3]), button) } });
  setTheme(theme, button);
  return button;
}

const KEYS = [[`1 to ${TABS.length}`, "the parts of the report"], ["/", "search"], ["← →", "previous and next image"], ["?", "this page"]];
function helpPage() {
  return {
    title: "Help",
    content: [
      h("h1", {}, "How to read this report"),
      section(
        "Words",
        h(
          "dl",
          { class: "origin" },
          ...[
            ["kernel", "A filter of the network. Its bit is true on an image where it responds more than its threshold."],
            ["rule", "A conjunction of kernels that must be true or false. Several rules for one class are alternatives."],
            ["fidelity", "The share of images on which program and model agree."],
            ["accuracy", "The share of images whose label it gives."],
            ["support", "How many training images a rule covers; confidence: the share of them on which it is right; at least: the lower end of its 95 % interval (Wilson)."],
            ["start layer", "The layer whose bits are given; rules make everything above it."],
          ].map(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]),
        ),
      ),
      section("Keys", h("dl", { class: "origin" }, ...KEYS.map(([key, meaning]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, meaning)]))),
    ],
  };
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (TABS[Number(event.key) - 1]) location.hash = "#/" + TABS[Number(event.key) - 1][0];
  else if (event.key === "?") location.hash = "#/help";
  else if (event.key === "/") {
    event.preventDefault();
    const search = document.querySelector("[data-search]");
    if (search) search.focus();
    else location.hash = "#/images";
  } else if (event.key === "ArrowLeft") document.querySelector("a[data-step=previous]")?.click();
  else if (event.key === "ArrowRight") document.querySelector("a[data-step=next]")?.click();
}

loadLabels();
document.getElementById("tabs").append(...TABS.map(([name, text]) => h("a", { href: "#/" + name, "data-tab": name }, text)));
document.getElementById("tools").append(
  ...(starts.length > 1 ? [choose("start", "Start layer", starts.map(({ name }, i) => [String(i), `${name} · ${percent(doc.starts[i].fidelity)}`]), String(state.start), (value) => setStart(Number(value)))] : []),
  h("a", { class: "icon", href: "#/help", title: "Help", "aria-label": "Help" }, "?"),
  themeButton(),
);
window.addEventListener("hashchange", () => {
  readStart();
  showPage();
});
document.addEventListener("keydown", onKey);
readStart();
showPage({ focus: false });
// Images of few pixels keep them: they are what the network sees
if (hasThumbnails && images.n) {
  const first = new Image();
  first.onload = () => document.documentElement.classList.toggle("small-pixels", Math.max(first.naturalWidth, first.naturalHeight) <= 16);
  setTimeout(() => (first.src = thumbnailOf(0)), 0);
}
document.documentElement.dataset.ready = "true";
