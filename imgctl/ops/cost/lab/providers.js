"use strict";
// The provider switch: another price card for the same plan, the features it lacks, and all cards side by side.

const PROVIDERS = { aws: "Amazon S3", az: "Azure", b2: "Backblaze B2", gs: "Google Cloud", hetzner: "Hetzner", r2: "Cloudflare R2", wasabi: "Wasabi" };

function provider(name) {
  const [brand, region = ""] = data.cards[name].name.split(/ (.*)/), told = PROVIDERS[brand] ? `${PROVIDERS[brand]} ${region}`.trim() : data.cards[name].name;
  return Object.keys(data.cards).some((other) => other !== name && data.cards[other].name === data.cards[name].name) ? `${told} (${name})` : told;
}

// The plan with another card: each class becomes the nearest one that the card has.
const elsewhere = (name) => ({ ...plan, originals: data.cards[name].like[asked.originals] ?? "STANDARD", stock_class: data.cards[name].like[asked.stock_class] ?? "STANDARD" });

function choose(name) {
  plan = elsewhere(name);
  named = name;
}

function archiveIn(name) {
  asked.originals = name;
  plan.originals = card().like[name];
}

// Controls that depend on the card alone, rebuilt only for another card, so that the focus stays.
function showCard() {
  if (byId("classes").dataset.card === named) return;
  byId("classes").dataset.card = byId("provider").value = named;
  byId("classes").innerHTML = Object.entries(card().classes).map(([name, one]) => `<label><input type="radio" name="originals" value="${name}"><span>${escaped(className(name))}</span><small>$${one.storage[0].price}</small></label>`).join("");
  byId("as-of").textContent = card().as_of;
  byId("source").textContent = `Prices: ${card().name} as of ${card().as_of}, ${card().source}. List prices in US dollars, without tax. Months begin with ${data.start}.`;
  byId("lacks-title").textContent = `What to know of ${provider(named)}`;
  byId("lacks").innerHTML = card().lacks.map((one) => `<li>${escaped(one[0].toUpperCase() + one.slice(1))}.</li>`).join("");
}

// The same plan by each card, the cheapest first.
function showProviders(found) {
  const rows = Object.keys(data.cards).map((name) => ({ name, plan: elsewhere(name), total: name === named ? found.total : modelled(data, data.cards[name], elsewhere(name), profile).total }));
  rows.sort((a, b) => number(a.total) - number(b.total));
  const here = number(found.total);
  const cells = (one) => {
    const more = number(one.total) - here, told = one.name === named ? "" : Math.abs(more) < 0.005 ? "the same" : `${more > 0 ? "+" : "−"}${dollars(Math.abs(more))}`;
    return `<td>${escaped(className(one.plan.originals))}</td><td>${exact(one.total)}</td><td class="${more > 0 ? "more" : "less"}">${told}</td>`;
  };
  byId("providers").innerHTML = `<thead><tr><th scope="col"></th><th scope="col">Originals</th><th scope="col">All ${found.months.length}</th><th scope="col">More or less</th></tr></thead><tbody>${rows.map((one) => `<tr${one.name === named ? ` class="chosen" aria-current="true"` : ""}><th scope="row">${escaped(provider(one.name))}</th>${cells(one)}</tr>`).join("")}</tbody>`;
  document.documentElement.dataset.providers = JSON.stringify(Object.fromEntries(rows.map((one) => [one.name, String(cents(one.total))])));
}
