"use strict";
// The arithmetic of `imgctl cost model`, in exact fractions: every amount equals the command's to the cent.

const ONE = 1n;

// A fraction of two BigInts; `d` is positive.
const frac = (n, d = ONE) => ({ n, d });
const int = (value) => frac(BigInt(value));
const add = (a, b) => (a.d === b.d ? frac(a.n + b.n, a.d) : frac(a.n * b.d + b.n * a.d, a.d * b.d));
const mul = (a, b) => frac(a.n * b.n, a.d * b.d);
const over = (a, whole) => frac(a.n, a.d * whole);
const floor = (a) => (a.n >= 0n ? a.n / a.d : -((-a.n + a.d - ONE) / a.d));
const ZERO = frac(0n);
const max = (a, b) => (a > b ? a : b);
const min = (a, b) => (a < b ? a : b);

// A decimal as text ("12.5") into a fraction.
function dec(text) {
  const [whole, digits = ""] = String(text).split(".");
  return frac(BigInt(whole + digits), 10n ** BigInt(digits.length));
}

// To the cent as Decimal.quantize rounds: half to even.
function cents(amount) {
  const scaled = amount.n * 100n, whole = scaled / amount.d, rest = (scaled % amount.d) * 2n;
  return whole + (rest > amount.d || (rest === amount.d && whole % 2n === ONE) ? ONE : 0n);
}

// To the cent; what is below a dollar to fifteen places.
const number = (amount) => (amount.n < amount.d ? Number((amount.n * 10n ** 15n) / amount.d) / 1e15 : Number(cents(amount)) / 100);

// Money as the command shows it: to the cent, below a dollar to three significant digits.
const money = { style: "currency", currency: "USD", minimumFractionDigits: 2 };
const wholeCents = new Intl.NumberFormat("en-US", money);
const anyDigits = new Intl.NumberFormat("en-US", { ...money, maximumFractionDigits: 20 });
const dollars = (value) => (Math.abs(value) < 1 ? anyDigits.format(Number(value.toPrecision(3))) : wholeCents.format(value));
const sum = (amounts) => amounts.reduce(add, ZERO);
const counted = (count, price) => over(mul(frac(count), dec(price)), 1000n);
const weighed = (card, size, price) => over(mul(frac(size), dec(price)), BigInt(card.gb_bytes));

// `size` bytes on top of `before` that already fill the lower tiers.
function tiered(card, size, tiers, before = 0n) {
  const gb = BigInt(card.gb_bytes), end = before + size;
  let total = ZERO, bottom = 0n;
  for (const tier of tiers) {
    const top = tier.up_to_gb === null ? end : floor(mul(dec(tier.up_to_gb), frac(gb)));
    const share = min(end, top) - max(before, bottom);
    if (share > 0n) total = add(total, weighed(card, share, tier.price));
    bottom = top;
  }
  return total;
}

function monthlyStorage(card, name, objects, size, before = 0n) {
  const prices = card.classes[name], least = BigInt(prices.minimum_bytes);
  const standard = card.classes.STANDARD.storage[0].price;
  const parts = [tiered(card, max(size, objects * least), prices.storage, before)];
  parts.push(weighed(card, objects * BigInt(prices.overhead_bytes), prices.storage[0].price));
  parts.push(weighed(card, objects * BigInt(prices.overhead_standard_bytes), standard));
  if (size >= objects * BigInt(prices.monitored_bytes)) parts.push(counted(objects, prices.monitoring));
  return sum(parts);
}

const VARIANTS = ["thumb", "medium", "full"];
const VIEWED = ["thumb", "medium"];

const built = (plan) => VARIANTS.filter((name) => name in plan.sizes);

// The variant shown if one is not built: the next larger, else the next smaller.
function standIn(plan, wanted) {
  const at = VARIANTS.indexOf(wanted);
  return [...VARIANTS.slice(at), ...VARIANTS.slice(0, at).reverse()].find((name) => name in plan.sizes);
}

function facts(plan) {
  const variants = built(plan), viewed = VIEWED.map((name) => standIn(plan, name)).filter(Boolean);
  const bytes = (names) => names.reduce((total, name) => total + BigInt(plan.sizes[name]), 0n);
  return {
    kinds: BigInt(variants.length),
    viewed,
    requests: BigInt(viewed.length),
    variantSize: bytes(variants),
    originalSize: BigInt(plan.sizes.original),
    viewSize: bytes(viewed),
    uploads: BigInt(plan.uploads_per_day),
    stock: BigInt(plan.stock),
  };
}

const viewsOf = (plan, days) => floor(mul(frac(BigInt(plan.uploads_per_day) * BigInt(days)), dec(plan.views_per_upload)));
const missRatio = (plan) => add(int(1), mul(int(-1), dec(plan.hit_ratio)));

function deliver(card, plan, views, cdn) {
  const f = facts(plan), gb = BigInt(card.gb_bytes), get = card.classes.STANDARD.get;
  const size = views * f.viewSize, requests = views * f.requests;
  if (!cdn) {
    const free = floor(mul(dec(card.transfer.internet_free_gb), frac(gb)));
    return { bytes: tiered(card, max(0n, size - free), card.transfer.internet), gets: counted(requests, get), fetched: ZERO };
  }
  const free = floor(mul(dec(card.cdn.free_gb), frac(gb))), asked = max(0n, requests - BigInt(card.cdn.free_requests));
  const missed = floor(mul(frac(requests), missRatio(plan))), fetched = floor(mul(frac(size), missRatio(plan)));
  const bytes = add(tiered(card, max(0n, size - free), card.cdn.internet), counted(asked, card.cdn.https));
  return { bytes, gets: counted(missed, get), fetched: weighed(card, fetched, card.transfer.to_cdn) };
}

function awsMonth(card, plan, begin, days) {
  const f = facts(plan), end = begin + days, standard = card.classes.STANDARD;
  const after = BigInt(plan.archive_after_days), moves = plan.originals !== "STANDARD";
  const late = max(0n, end - after), early = max(0n, begin - after);
  const stock = 2n * days * f.stock;
  const photos = f.uploads * (end ** 2n - begin ** 2n) + stock;
  const archived = moves ? f.uploads * (late ** 2n - early ** 2n) + stock : 0n;
  const mean = (area, size = ONE) => (area * size) / (2n * days);
  const rows = mean(photos), fresh = f.uploads * days, variantBytes = mean(photos, f.variantSize);
  const moved = moves ? f.uploads * (late - early) + (begin === 0n && plan.stock_class !== plan.originals ? f.stock : 0n) : 0n;
  const objects = rows * (ONE + f.kinds), lists = BigInt(plan.audits) * ((objects + 999n) / 1000n);
  const sent = deliver(card, plan, viewsOf(plan, days), plan.cdn);
  const parts = {
    variants: monthlyStorage(card, "STANDARD", f.kinds * rows, variantBytes),
    warm: monthlyStorage(card, "STANDARD", mean(photos - archived), mean(photos - archived, f.originalSize), variantBytes),
    cold: moves ? monthlyStorage(card, plan.originals, mean(archived), mean(archived, f.originalSize)) : ZERO,
    put: counted(fresh, standard.put),
    render: add(f.kinds ? counted(fresh, standard.get) : ZERO, counted(fresh * f.kinds, standard.put)),
    lists: counted(lists, card.requests.list),
    transitions: moves ? counted(moved, card.classes[plan.originals].transition) : ZERO,
    sent: sent.bytes,
    gets: add(sent.gets, sent.fetched),
    tags: counted(BigInt(plan.tags) * objects, card.extras.tags),
    database: weighed(card, rows * BigInt(card.row_bytes), card.database.gb),
  };
  return { parts, stored: rows * (f.variantSize + f.originalSize) };
}

function lessonMonth(card, plan, number) {
  const decimal = { ...card, gb_bytes: "1000000000" }, f = facts(plan);
  const standard = card.classes.STANDARD, first = (name) => card.classes[name].storage[0].price;
  const photos = f.uploads * 30n * number + f.stock, views = viewsOf(plan, 30);
  const size = views * f.viewSize, originals = weighed(decimal, photos * f.originalSize, first(plan.originals));
  const moves = plan.originals !== "STANDARD";
  const missed = mul(over(mul(frac(size), dec(card.cdn.internet[0].price)), 10n ** 9n), missRatio(plan));
  const parts = {
    variants: weighed(decimal, photos * f.variantSize, first("STANDARD")),
    warm: moves ? ZERO : originals,
    cold: moves ? originals : ZERO,
    put: ZERO,
    render: counted(f.uploads * 30n * f.kinds, standard.put),
    lists: ZERO,
    transitions: ZERO,
    sent: plan.cdn ? missed : weighed(decimal, size, card.transfer.internet[0].price),
    gets: plan.cdn ? counted(views, standard.get) : ZERO,
    tags: ZERO,
    database: ZERO,
  };
  return { parts, stored: photos * (f.variantSize + f.originalSize) };
}

const GROUPS = {
  storage: ["variants", "warm", "cold"],
  requests: ["put", "render", "lists"],
  transitions: ["transitions"],
  delivery: ["sent", "gets"],
  other: ["tags", "database"],
};

// A plan's months by a card, each with its parts, groups and total, and the sum.
function modelled(data, card, plan, profile) {
  const months = [];
  let begin = 0n;
  for (let number = 1; number <= plan.months; number += 1) {
    const lesson = profile === "lesson", days = lesson ? 30n : BigInt(data.days[number - 1]);
    const month = lesson ? lessonMonth(card, plan, BigInt(number)) : awsMonth(card, plan, begin, days);
    const groups = {};
    for (const [group, names] of Object.entries(GROUPS)) groups[group] = sum(names.map((name) => month.parts[name]));
    months.push({ number, days, ...month, groups, total: sum(Object.values(groups)) });
    begin += days;
  }
  return { months, total: sum(months.map((month) => month.total)) };
}

if (typeof module !== "undefined") module.exports = { modelled, cents, dollars, dec, facts, standIn };
