"use strict";
// The page: a plan changed by native inputs, computed by the model, shown at once and kept in the address.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (name) => document.getElementById(name);
const steps = (low, high) => {
  const found = [];
  for (let power = 1; power <= high; power *= 10) for (const part of [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]) found.push(part * power);
  return found.filter((value) => value >= low && value <= high && Number.isInteger(value));
};
const range = (low, high) => Array.from({ length: high - low + 1 }, (_, at) => low + at);

const whole = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const count = new Intl.NumberFormat("en-US");
const exact = (amount) => dollars(number(amount));
const brief = (value) => (Math.abs(value) >= 1000 ? whole.format(value) : dollars(value));
const short = (amount) => brief(number(amount));
const axis = (value) => (value >= 1e6 ? `$${value / 1e6}M` : value >= 10_000 ? `$${value / 1000}k` : value >= 10 || !value ? whole.format(value) : dollars(value));
function bytes(size) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];
  let value = Number(size), at = 0;
  while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${value >= 100 || at === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${units[at]}`;
}

// Name, label, values a slider stops at, and how one reads; `get` and `set` where it isn't simply the plan's own field.
const size = (name) => ({ get: () => dropped[name] ?? plan.sizes[name] ?? data.plan.sizes[name] ?? 100_000, set: (value) => { if (name in plan.sizes) plan.sizes[name] = value; else dropped[name] = value; }, show: bytes });
const SLIDERS = {
  uploads_per_day: { label: "Uploads a day", values: steps(10, 10_000_000), show: (value) => count.format(value) },
  views_per_upload: { label: "Views a photo", values: [0, ...steps(1, 1000)], set: (value) => { plan.views_per_upload = String(value); }, show: (value) => count.format(value) },
  months: { label: "Months", values: range(1, data.days.length), show: String },
  original: { label: "Original", values: steps(100_000, 100_000_000), ...size("original") },
  full: { label: "Full", values: steps(50_000, 10_000_000), toggle: true, ...size("full") },
  medium: { label: "Medium", values: steps(10_000, 2_000_000), toggle: true, ...size("medium") },
  thumb: { label: "Thumb", values: steps(1000, 500_000), toggle: true, ...size("thumb") },
  archive_after_days: { label: "Moved after", values: [0, 1, 7, 14, 30, 60, 90, 120, 180, 365], show: (value) => (Number(value) === 0 ? "at once" : `${value} days`) },
  hit_ratio: { label: "Hit ratio", values: range(0, 100), get: () => Math.round(Number(plan.hit_ratio) * 100), set: (value) => { plan.hit_ratio = String(value / 100); }, show: () => `${Number((Number(plan.hit_ratio) * 100).toFixed(2))} %` },
};
const CLASS_NAMES = { STANDARD: "Standard", STANDARD_IA: "Standard-IA", ONEZONE_IA: "One Zone-IA", INTELLIGENT_TIERING: "Intelligent-Tiering", GLACIER_IR: "Glacier Instant", GLACIER: "Glacier Flexible", DEEP_ARCHIVE: "Deep Archive", NEARLINE: "Nearline", COLDLINE: "Coldline", ARCHIVE: "Archive", COOL: "Cool", COLD: "Cold", AZURE_ARCHIVE: "Archive" };
const className = (name) => CLASS_NAMES[name] ?? name;
const TONES = { storage: "storage", requests: "requests", transitions: "transitions", delivery: "delivery", other: "other" };
const LABELS = { storage: "Storage", requests: "Requests", transitions: "Transitions", delivery: "Delivery", other: "Tags and catalog" };
const PARTS = { variants: "Variants", warm: "Originals in Standard", cold: "Originals in their class", put: "PUT of originals", render: "Building variants", lists: "LIST of audits", sent: "Bytes to viewers", gets: "GET behind views" };

let plan = structuredClone(data.plan), profile = data.profile, dropped = {};
// The current card, by its --card name, and the requested classes, even those that the card lacks.
let named = Object.keys(data.cards)[0], asked = { originals: plan.originals, stock_class: plan.stock_class };
const card = () => data.cards[named];

function setBuilt(name, built) {
  if (built && !(name in plan.sizes)) { plan.sizes[name] = dropped[name] ?? data.plan.sizes[name] ?? 100_000; delete dropped[name]; }
  if (!built && name in plan.sizes) { dropped[name] = plan.sizes[name]; delete plan.sizes[name]; }
}

function decide(preset) {
  plan.cdn = preset.cdn;
  archiveIn(preset.originals);
  for (const name of VARIANTS) if (name in data.plan.sizes || name in plan.sizes || name in dropped) setBuilt(name, !preset.drop.includes(name) && (name in data.plan.sizes));
}

const isOffered = (preset) => preset.originals === "STANDARD" || card().like[preset.originals] !== "STANDARD";
const isPreset = (preset) => isOffered(preset) && plan.cdn === preset.cdn && plan.originals === card().like[preset.originals] && VARIANTS.every((name) => (name in plan.sizes) === (name in data.plan.sizes && !preset.drop.includes(name)));

// Controls.
function makeSlider(place) {
  const name = place.dataset.slider, one = SLIDERS[name], built = one.toggle ? `<input type="checkbox" id="build-${name}" aria-label="Build ${name}">` : "";
  place.className = "slider";
  place.innerHTML = `<span class="name">${built}<label for="in-${name}">${one.label}</label></span><output for="in-${name}" id="out-${name}"></output><input type="range" id="in-${name}" min="0" max="${one.values.length - 1}" step="1">`;
  byId(`in-${name}`).addEventListener("input", (event) => {
    const value = one.values[Number(event.target.value)];
    if (one.set) one.set(value); else plan[name] = value;
    show();
  });
  if (one.toggle) byId(`build-${name}`).addEventListener("change", (event) => { setBuilt(name, event.target.checked); show(); });
}

function showSlider(name) {
  const one = SLIDERS[name], value = Number(one.get ? one.get() : plan[name]), input = byId(`in-${name}`), told = one.show(value);
  const nearest = one.values.reduce((best, step, at) => (Math.abs(step - value) < Math.abs(one.values[best] - value) ? at : best), 0);
  const off = Boolean((name === "archive_after_days" && plan.originals === "STANDARD") || (name === "hit_ratio" && !plan.cdn) || (one.toggle && !(name in plan.sizes)));
  input.value = nearest;
  input.setAttribute("aria-valuetext", told);
  input.disabled = off;
  byId(`out-${name}`).textContent = told;
  input.parentElement.classList.toggle("off", off);
  if (one.toggle) byId(`build-${name}`).checked = name in plan.sizes;
}

function makeControls() {
  document.querySelectorAll("[data-slider]").forEach(makeSlider);
  byId("presets").innerHTML = data.presets.map((one) => `<button type="button" data-preset="${one.name}">${escaped(one.label)}</button>`).join("");
  byId("presets").addEventListener("click", (event) => {
    const chosen = data.presets.find((one) => one.name === event.target.dataset.preset);
    if (chosen) { decide(chosen); show(); }
  });
  byId("classes").addEventListener("change", (event) => { archiveIn(event.target.value); show(); });
  byId("provider").innerHTML = Object.keys(data.cards).map((name) => `<option value="${escaped(name)}">${escaped(provider(name))}</option>`).join("");
  byId("provider").addEventListener("change", (event) => { choose(event.target.value); show(); });
  byId("cdn").addEventListener("change", (event) => { plan.cdn = event.target.checked; show(); });
  document.querySelectorAll("[name=profile]").forEach((radio) => radio.addEventListener("change", () => { profile = radio.value; show(); }));
  byId("origin").hidden = !data.origin;
  byId("origin").textContent = data.origin;
}

function showControls() {
  showCard();
  Object.keys(SLIDERS).forEach(showSlider);
  document.querySelectorAll("[data-preset]").forEach((button) => {
    const preset = data.presets.find((one) => one.name === button.dataset.preset);
    button.setAttribute("aria-pressed", isPreset(preset));
    button.disabled = !isOffered(preset);
    button.textContent = card().like[preset.originals] === preset.originals || !isOffered(preset) ? preset.label : `Originals to ${className(card().like[preset.originals])}`;
  });
  document.querySelectorAll("[name=originals]").forEach((radio) => { radio.checked = radio.value === plan.originals; });
  document.querySelectorAll("[name=profile]").forEach((radio) => { radio.checked = radio.value === profile; });
  byId("cdn").checked = plan.cdn;
}

// Results.
function delta(found) {
  const saved = [structuredClone(plan), { ...dropped }, { ...asked }];
  decide(data.presets[0]);
  const base = modelled(data, card(), plan, profile);
  [plan, dropped, asked] = saved;
  const more = number(found.total) - number(base.total), share = number(base.total) ? (100 * more) / number(base.total) : 0;
  if (Math.abs(more) < 0.005) return "the baseline's own price";
  const size = Math.abs(share) < 0.05 ? "less than 0.1" : Math.abs(share).toFixed(1);
  return `<span class="${more > 0 ? "more" : "less"}">${more > 0 ? "▲" : "▼"} ${dollars(Math.abs(more))}</span> ${more > 0 ? "more" : "less"} than the baseline (${size} %)`;
}

function showTotals(found) {
  const first = found.months[0], last = found.months.at(-1), many = found.months.length;
  byId("total-label").textContent = many === 1 ? "One month" : `${many} months together`;
  byId("total").textContent = exact(found.total);
  byId("delta").innerHTML = delta(found);
  byId("first").textContent = exact(first.total);
  byId("last").textContent = exact(last.total);
  byId("last-label").textContent = `Month ${many}`;
  byId("stored-first").textContent = `${bytes(first.stored)} stored`;
  byId("stored-last").textContent = `${bytes(last.stored)} stored`;
}

function nodes(month) {
  const p = month.parts, f = facts(plan), cold = plan.originals !== "STANDARD", views = viewsOf(plan, 1);
  const hours = wait(plan.originals), kinds = built(plan);
  return [
    { name: "uploads", tone: "requests", title: "Uploads", amount: short(p.put), detail: `${count.format(plan.uploads_per_day)} a day` },
    { name: "catalog", tone: "other", title: "Catalog (SQL)", amount: short(p.database), detail: profile === "lesson" ? "left out by the lesson" : "rows, and the keys" },
    { name: "originals", tone: "storage", title: "Originals in Standard", amount: short(p.warm), detail: `${bytes(plan.sizes.original)} each` },
    { name: "workers", tone: "requests", title: "Workers", amount: short(p.render), detail: kinds.length ? `GET 1, PUT ${kinds.length} a photo` : "nothing to build" },
    { name: "variants", tone: "storage", title: "Variants in Standard", amount: short(p.variants), detail: kinds.length ? `${bytes(f.variantSize)} a photo` : "none" },
    { name: "archive", tone: "transitions", title: cold ? className(plan.originals) : "No colder class", ghost: !cold, amount: cold ? short(add(p.cold, p.transitions)) : "off", detail: cold ? `${short(p.transitions)} to move${hours ? `, ${hours} back` : ""}` : "originals stay" },
    { name: "cdn", tone: "delivery", title: "CDN", ghost: !plan.cdn, amount: plan.cdn ? short(add(p.sent, p.gets)) : "off", detail: plan.cdn ? `${Number((Number(plan.hit_ratio) * 100).toFixed(2))} % hits` : "bytes leave the bucket" },
    { name: "viewers", tone: "delivery", title: "Viewers", amount: plan.cdn ? `${bytes(views * f.viewSize)} a day` : short(add(p.sent, p.gets)), detail: `${count.format(views)} views a day` },
  ];
}

// How long the quickest free or cheap way back takes.
function wait(name) {
  const tiers = Object.entries(card().classes[name].retrieval), slow = tiers.filter(([, one]) => Number(one.hours[1]) >= 1);
  if (!slow.length || name === "INTELLIGENT_TIERING") return "";
  const [, one] = slow.reduce((best, tier) => (Number(tier[1].hours[1]) < Number(best[1].hours[1]) ? tier : best));
  return Number(one.hours[0]) ? `${one.hours[0]}–${one.hours[1]} h` : `${one.hours[1]} h`;
}

function showDiagram(month) {
  const list = nodes(month), told = list.map((one) => `${one.title}: ${one.amount}, ${one.detail}`).join("; ");
  byId("diagram-when").textContent = `in month ${month.number}`;
  byId("diagram").innerHTML = architecture(list, "wide", told) + architecture(list, "tall", told);
}

function showBill(found) {
  const first = found.months[0], last = found.months.at(-1);
  const all = (name, from) => sum(found.months.map((month) => month[from][name]));
  const cells = (a, b, c) => `<td>${exact(a)}</td><td>${exact(b)}</td><td>${exact(c)}</td>`;
  const rows = Object.entries(GROUPS).filter(([group]) => all(group, "groups").n).map(([group, names]) => {
    const parts = names.filter((name) => name in PARTS && all(name, "parts").n).map((name) => `<tr class="part"><th scope="row">${name === "cold" ? `Originals in ${escaped(className(plan.originals))}` : PARTS[name]}</th>${cells(first.parts[name], last.parts[name], all(name, "parts"))}</tr>`);
    return `<tr class="group" style="--tone:var(--${TONES[group]})"><th scope="row">${LABELS[group]}</th>${cells(first.groups[group], last.groups[group], all(group, "groups"))}</tr>${parts.join("")}`;
  });
  byId("bill").innerHTML = `<thead><tr><th scope="col"></th><th scope="col">First month</th><th scope="col">Month ${last.number}</th><th scope="col">All ${found.months.length}</th></tr></thead><tbody>${rows.join("")}</tbody><tfoot><tr><th scope="row">Total</th>${cells(first.total, last.total, found.total)}</tr></tfoot>`;
}

function notes(found) {
  const f = facts(plan), last = found.months.at(-1), said = [], prices = card().classes[plan.originals];
  const biggest = Object.entries(last.groups).reduce((best, one) => (number(one[1]) > number(best[1]) ? one : best));
  const share = number(last.total) ? Math.round((100 * number(biggest[1])) / number(last.total)) : 0;
  if (share) said.push(`<b>${LABELS[biggest[0]]}</b> is ${share} % of month ${last.number}.`);
  if (found.months.length > 1 && plan.uploads_per_day) said.push("Storage is paid again every month: what was uploaded once is on every later bill.");
  if (prices.minimum_days) said.push(`${className(plan.originals)} bills at least ${prices.minimum_days} days: who deletes or rewrites earlier pays for all of them.`);
  if (wait(plan.originals)) said.push(`An original comes back after ${wait(plan.originals)}; a new size for the whole archive waits for all of it.`);
  if (prices.overhead_bytes && f.originalSize < 200_000n) said.push(`Small originals hardly gain: each carries ${(prices.overhead_bytes + prices.overhead_standard_bytes) / 1024} KiB of overhead.`);
  for (const name of VIEWED) {
    const shown = standIn(plan, name);
    if (shown !== name && shown) said.push(`Without <b>${name}</b>, ${shown} is shown in its place: a view is ${bytes(f.viewSize)}.`);
  }
  if (!f.viewed.length) said.push("Without any variant there is nothing to show.");
  if (!plan.cdn) said.push("Without a CDN every view is a GET, and viewers far from the region wait.");
  if (profile === "lesson") said.push("The lesson counts decimal GB, 30 days, one price for every GB, one PUT a variant, and a CDN that bills only what it misses. <b>As it is billed</b> shows the difference.");
  return said;
}

function command() {
  const words = ["imgctl cost model"], file = /^[\w./-]+$/.test(named) ? named : `'${named.replaceAll("'", "'\\''")}'`, sizes = Object.entries(plan.sizes).map(([name, value]) => `${name}=${value}`).join(",");
  words.push(`--card ${file}`, `--uploads-per-day ${plan.uploads_per_day} --views-per-upload ${plan.views_per_upload} --months ${plan.months}`, `--sizes ${sizes}`);
  for (const name of VARIANTS) if (!(name in plan.sizes)) words.push(`--drop-variant ${name}`);
  if (plan.originals !== "STANDARD") words.push(`--originals ${plan.originals} --archive-after ${plan.archive_after_days}d`);
  words.push(plan.cdn ? `--cdn --hit-ratio ${plan.hit_ratio}` : "--no-cdn", `--start ${data.start}`);
  for (const name of ["tags", "audits", "stock"]) if (plan[name]) words.push(`--${name} ${plan[name]}`);
  if (plan.stock && plan.stock_class !== "STANDARD") words.push(`--stock-class ${plan.stock_class}`);
  if (profile !== "aws") words.push(`--profile ${profile}`);
  return words.join(" \\\n  ");
}

function showResults() {
  const found = modelled(data, card(), plan, profile), last = found.months.at(-1);
  showTotals(found);
  showDiagram(last);
  byId("chart").innerHTML = bars(found.months.map((month) => ({ number: month.number, total: number(month.total), groups: Object.fromEntries(Object.entries(month.groups).map(([name, amount]) => [name, number(amount)])) })), TONES, axis);
  byId("legend").innerHTML = Object.keys(GROUPS).filter((group) => found.months.some((month) => month.groups[group].n)).map((group) => `<li><i style="background:var(--${TONES[group]})"></i>${LABELS[group]}</li>`).join("");
  byId("notes").innerHTML = notes(found).map((one) => `<li>${one}</li>`).join("");
  showProviders(found);
  showBill(found);
  byId("command").textContent = command();
  document.documentElement.dataset.totalCents = String(cents(found.total));
  document.documentElement.dataset.lastMonth = JSON.stringify(Object.fromEntries(Object.entries(last.groups).map(([name, amount]) => [name, String(cents(amount))])));
}

// The address: a preset or the whole plan, so that a link shows what its sender saw.
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), preset = data.presets.find((one) => one.name === given.get("preset"));
  if (["aws", "lesson"].includes(given.get("profile"))) profile = given.get("profile");
  if (Object.hasOwn(data.cards, given.get("card"))) choose(given.get("card"));
  if (preset) decide(preset);
  try {
    const sent = JSON.parse(given.get("plan") ?? "null");
    if (sent) {
      const whole = { ...data.plan, ...sent };
      modelled(data, card(), whole, profile);
      plan = whole;
      asked = { originals: plan.originals, stock_class: plan.stock_class };
    }
  } catch { /* A broken link shows the initial page. */ }
}

function toAddress() {
  const chosen = data.presets.find(isPreset), same = (name) => JSON.stringify(plan[name]) === JSON.stringify(data.plan[name]);
  const plain = chosen && Object.keys(plan).every((name) => same(name) || ["cdn", "originals", "sizes", "stock_class"].includes(name)) && Object.entries(plan.sizes).every(([name, value]) => data.plan.sizes[name] === value);
  const parts = new URLSearchParams(plain ? { preset: chosen.name } : { plan: JSON.stringify(plan) });
  if (named !== Object.keys(data.cards)[0]) parts.set("card", named);
  if (profile !== "aws") parts.set("profile", profile);
  try { history.replaceState(null, "", `#${parts}`); } catch { /* The page has no address of its own. */ }
}

function show() {
  showControls();
  showResults();
  toAddress();
}

makeControls();
fromAddress();
show();
addEventListener("hashchange", () => { fromAddress(); show(); });
