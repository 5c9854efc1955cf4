// The gallery's script: endless scroll, images opened in place, arrow keys, and updates of unfinished images.
"use strict";

const MOST_WATCHED = 100;
const gallery = document.getElementById("gallery");
const live = document.getElementById("live");
const dialog = document.getElementById("detail");

document.documentElement.classList.add("scripted");

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html").body;
}

async function fetched(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return parsed(await answer.text());
}

function asPart(href) {
  const url = new URL(href, location.href);
  url.searchParams.set("parts", "true");
  return url;
}

function tiles() {
  return [...gallery.querySelectorAll(".tile")];
}

// --- filter

function beginFilter() {
  const form = document.getElementById("filter");
  form.addEventListener("change", () => {
    for (const input of form.elements) if (input.name) input.disabled = !input.value;
    form.requestSubmit();
    for (const input of form.elements) input.disabled = false;
  });
}

// --- endless scroll

const near = new IntersectionObserver((seen) => {
  if (seen.some((one) => one.isIntersecting)) older();
}, { rootMargin: "1200px" });
let loading = false;

function watchEnd() {
  const link = document.getElementById("older");
  if (link) near.observe(link);
}

async function older() {
  const link = document.getElementById("older");
  if (!link || loading) return;
  loading = true;
  try {
    const more = await fetched(asPart(link.href));
    const count = more.querySelectorAll(".tile").length;
    near.disconnect();
    link.closest(".older").replaceWith(...more.childNodes);
    live.textContent = `${count} more images`;
    listen();
  } catch {
    live.textContent = "Older images could not be loaded; follow the link at the end to try again.";
    near.disconnect();
    loading = false;
    return;
  }
  loading = false;
  watchEnd();
}

// --- images that are not ready yet

let source = null;
let watched = "";

function unfinished() {
  return tiles().filter((one) => ["uploading", "processing"].includes(one.dataset.status)).map((one) => one.dataset.id);
}

function listen() {
  const ids = unfinished().slice(0, MOST_WATCHED);
  if (ids.join() === watched) return;
  watched = ids.join();
  if (source) source.close();
  source = null;
  if (!ids.length) return;
  const query = new URLSearchParams(ids.map((id) => ["image", id]));
  source = new EventSource(`/users/${gallery.dataset.user}/events?${query}`);
  source.addEventListener("image", (event) => changed(JSON.parse(event.data)));
}

async function changed({ id, status }) {
  const old = document.getElementById(`i-${id}`);
  if (!old || old.dataset.status === status) return;
  old.dataset.status = status;
  try {
    const fresh = (await fetched(`/tiles/${id}`)).querySelector(".tile");
    const focused = old.contains(document.activeElement);
    fresh.classList.add("fresh");
    old.replaceWith(fresh);
    if (focused) fresh.querySelector("a").focus();
    live.textContent = `An image is ${status}`;
    if (dialog.open && dialog.dataset.id === id) show(id);
  } finally {
    listen();
  }
}

// --- one image

function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.title = label;
  made.addEventListener("click", act);
  return made;
}

function beside(step) {
  const all = tiles();
  const at = all.findIndex((one) => one.dataset.id === dialog.dataset.id);
  return at < 0 ? undefined : all[at + step];
}

function turn(step) {
  const next = beside(step);
  if (next) show(next.dataset.id);
  if (!beside(step)) older();
}

async function show(id) {
  dialog.dataset.id = id;
  let found;
  try {
    found = (await fetched(`/view/${id}?parts=true`)).querySelector("article");
  } catch {
    location.assign(`/view/${id}`);
    return;
  }
  if (dialog.dataset.id !== id) return;
  const bar = document.createElement("nav");
  const newer = button("←", "Newer image", () => turn(-1));
  const past = button("→", "Older image", () => turn(1));
  newer.disabled = !beside(-1);
  past.disabled = !beside(1);
  bar.append(newer, past, button("Close", "Close", () => dialog.close()));
  dialog.replaceChildren(bar, found);
  if (!dialog.open) dialog.showModal();
  else dialog.focus();
  dialog.scrollTop = 0;
}

function beginDetail() {
  gallery.addEventListener("click", (event) => {
    const link = event.target.closest(".tile a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    show(link.closest(".tile").dataset.id);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", (event) => {
    if (!dialog.open) return;
    if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
  });
  dialog.addEventListener("close", () => {
    const tile = document.getElementById(`i-${dialog.dataset.id}`);
    dialog.replaceChildren();
    if (tile) tile.querySelector("a").focus();
  });
}

// --- arrow keys among the tiles

function columns(all) {
  const top = all[0].offsetTop;
  const wrapped = all.findIndex((one) => one.offsetTop !== top);
  return wrapped < 0 ? all.length : wrapped;
}

function beginKeys() {
  gallery.addEventListener("keydown", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = tiles();
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(all), ArrowDown: columns(all) };
    const next = all[all.indexOf(tile) + (steps[event.key] ?? NaN)];
    if (!next) return;
    event.preventDefault();
    next.querySelector("a").focus();
  });
}

if (gallery) {
  beginFilter();
  beginDetail();
  beginKeys();
  watchEnd();
  listen();
}
