"use strict";

// Ids and data attributes are those of the templates; the words to search are those of search.js.
const bySelector = (selector) => document.querySelector(selector);

// What is folded away would be missing on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));

// The other language shows the same place of the page, and the same search.
const language = bySelector("#language");
const otherPage = language.getAttribute("href");
function keepPlace() {
  language.setAttribute("href", otherPage + location.hash);
}
addEventListener("hashchange", keepPlace);
keepPlace();

if (bySelector("#search")) startSearch();

function startSearch() {
  const form = bySelector("#search"), box = bySelector("#q"), list = bySelector("#items"), others = bySelector("#others");
  const count = bySelector("#count"), reset = bySelector("#reset");
  const selects = [...form.querySelectorAll("select")];
  const turn = document.documentElement.lang === "en" ? 1 : 0;
  const weights = { n: 100, f: 60, h: 50, s: 40, c: 30, p: 20, l: 20 };

  // As the readers of deliveries do: full-width letters, capitals and blanks make no difference.
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const items = [...list.children].map((element) => ({
    element,
    found: element.querySelector(".found"),
    words: window.QIONGXIN.items[element.dataset.code].flatMap(([kind, word, ...labels]) =>
      (kind === "c" ? window.QIONGXIN.sets[word] : [word])
        .map((text) => ({ kind, text, plain: plain(text), label: labels[turn] }))),
  }));
  const pages = window.QIONGXIN.others.map((page) => ({ ...page, plain: plain(`${page.z} ${page.e} ${page.m}`) }));

  // How well a word fits: the whole of it best, then its beginning, then somewhere inside.
  function fit(word, asked) {
    const at = word.plain.indexOf(asked);
    if (at < 0) return 0;
    return weights[word.kind] * (word.plain === asked ? 3 : at === 0 ? 1.5 : 1) + 1 / word.plain.length;
  }
  function bestWord(item, asked) {
    let best = null;
    for (const word of item.words) {
      const score = fit(word, asked);
      if (score > 0 && (best === null || score > best.score)) best = { word, score };
    }
    return best;
  }

  // Chinese is written without blanks: where a question is nowhere to be found whole, its pairs of characters are.
  const pairs = (asked) => asked.flatMap((part) => {
    const letters = [...part];
    if (letters.length < 3 || /^[\x00-\x7f]*$/.test(part)) return [part];
    return letters.slice(1).map((letter, n) => letters[n] + letter);
  });
  function ranked(candidates, asked, least) {
    const hits = [];
    for (const item of candidates) {
      const best = asked.map((part) => bestWord(item, part));
      const share = best.filter(Boolean).length / asked.length;
      if (share >= least && share > 0) {
        const score = best.reduce((sum, b) => sum + (b ? b.score : 0), 0) * share;
        hits.push({ item, score, words: best.filter(Boolean).map((b) => b.word) });
      }
    }
    return hits.sort((a, b) => b.score - a.score);
  }

  function passes(item) {
    return selects.every((s) => !s.value || item.element.dataset[s.name].split("|").includes(s.value));
  }

  function explain(hit, asked) {
    const found = hit.item.found;
    found.replaceChildren();
    const shown = new Map(hit.words.filter((w) => w.kind !== "n").map((w) => [w.text, w]));
    [...shown.values()].slice(0, 4).forEach((word, n) => {
      if (n) found.append(" · ");
      const kind = list.dataset[word.kind];
      found.append(word.label && word.label !== word.text ? `${kind} ${word.label}: ` : `${kind}: `, ...marked(word.text, asked));
    });
    found.hidden = shown.size === 0;
  }
  function marked(text, asked) {
    const lower = text.toLowerCase();
    for (const part of asked) {
      const at = lower.indexOf(part);
      if (at >= 0) {
        const mark = document.createElement("mark");
        mark.textContent = text.slice(at, at + part.length);
        return [text.slice(0, at), mark, text.slice(at + part.length)];
      }
    }
    return [text];
  }

  function showOthers(asked) {
    const hits = asked.length ? pages.filter((p) => asked.every((part) => p.plain.includes(part))).slice(0, 8) : [];
    const named = (page) => (plain(`${page.z} ${page.e}`).includes(asked[0]) ? 0 : 1);
    hits.sort((a, b) => named(a) - named(b));
    others.querySelector("ul").replaceChildren(...hits.map((page) => {
      const line = document.createElement("li"), kind = document.createElement("span"), link = document.createElement("a");
      kind.className = "dim";
      kind.textContent = others.dataset[page.k];
      link.href = page.a;
      link.textContent = turn ? page.e : page.z;
      line.append(kind, link);
      return line;
    }));
    others.hidden = hits.length === 0;
    return hits.length;
  }

  function show() {
    const asked = plain(box.value).split(/[\s,，、；;]+/).filter(Boolean);
    const candidates = items.filter(passes);
    let hits, near = false, parts = asked;
    if (asked.length === 0) {
      hits = candidates.map((item) => ({ item, words: [] }));
    } else {
      hits = ranked(candidates, asked, 1);
      if (hits.length === 0) {
        parts = pairs(asked);
        hits = ranked(candidates, parts, 0.5);
        near = hits.length > 0;
      }
    }
    const visible = new Set(hits.map((h) => h.item));
    for (const item of items) item.element.hidden = !visible.has(item);
    for (const hit of hits) explain(hit, parts);
    list.append(...hits.map((h) => h.item.element));
    const more = showOthers(asked);
    const n = hits.length, texts = count.dataset;
    const told = n === 0 ? texts.none : near ? texts.near : n === 1 ? texts.one : texts.some;
    count.textContent = told.replace("{n}", n) + (more ? texts.others.replace("{n}", more) : "");
    for (const s of selects) s.classList.toggle("set", s.value !== "");
    reset.hidden = asked.length === 0 && selects.every((s) => !s.value);
  }

  // The search stands in the address behind #, so that it can be kept, sent and gone back to.
  function write() {
    const state = new URLSearchParams();
    if (box.value.trim()) state.set("q", box.value.trim());
    for (const s of selects) if (s.value) state.set(s.name, s.value);
    history.replaceState(null, "", `#${state}`);
    keepPlace();
  }
  function read() {
    const query = new URLSearchParams(location.search), state = new URLSearchParams(location.hash.slice(1));
    box.value = state.get("q") ?? (location.hash ? "" : query.get("q") ?? "");
    for (const s of selects) {
      const value = state.get(s.name) ?? "";
      s.value = [...s.options].some((o) => o.value === value) ? value : "";
    }
  }

  form.hidden = false;
  if (matchMedia("(max-width: 46rem)").matches) bySelector(".filters").open = false;
  read();
  if (selects.some((s) => s.value)) bySelector(".filters").open = true;
  show();
  box.addEventListener("input", () => { show(); write(); });
  form.addEventListener("change", () => { show(); write(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); write(); });
  form.addEventListener("reset", () => setTimeout(() => { show(); write(); box.focus(); }));
  addEventListener("hashchange", () => { read(); show(); });
}
