"use strict";
// Drawings: the architecture with its dollars, and the months as stacked bars. Pure text from figures.

const escaped = (text) => String(text).replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

const BOX = { w: 184, h: 84 };
const LAYOUTS = {
  wide: {
    size: [860, 356],
    at: { uploads: [0, 8], catalog: [0, 132], originals: [225, 8], workers: [225, 132], variants: [225, 256], archive: [450, 8], cdn: [450, 256], viewers: [675, 256] },
    direct: ([vx, vy], [ex, ey]) => `M${vx + BOX.w} ${vy + 22} C ${vx + 260} ${vy - 50}, ${ex - 70} ${ey - 50}, ${ex - 7} ${ey + 18}`,
  },
  tall: {
    size: [392, 556],
    at: { uploads: [0, 4], catalog: [208, 4], originals: [0, 120], archive: [208, 120], workers: [0, 236], variants: [0, 352], cdn: [208, 352], viewers: [208, 468] },
    direct: ([vx, vy], [ex, ey]) => `M${vx + 92} ${vy + BOX.h} V ${ey + 42} H ${ex - 7}`,
  },
};
const EDGES = [["uploads", "catalog"], ["uploads", "originals"], ["originals", "workers"], ["workers", "variants"], ["originals", "archive"], ["variants", "cdn"], ["cdn", "viewers"]];

// A straight arrow from box to box, out of the side that faces the other.
function edge([ax, ay], [bx, by]) {
  if (ay === by) return `M${ax + BOX.w} ${ay + BOX.h / 2} H ${bx - 7}`;
  return `M${ax + BOX.w / 2} ${ay + BOX.h} V ${by - 7}`;
}

function box(node, [x, y]) {
  const text = (kind, dy, words) => `<text class="${kind}" x="${x + 16}" y="${y + dy}">${escaped(words)}</text>`;
  return `<g class="node${node.ghost ? " ghost" : ""}" data-node="${node.name}"><rect x="${x}" y="${y}" width="${BOX.w}" height="${BOX.h}" rx="10"/>
    <rect class="bar" x="${x}" y="${y + 14}" width="4" height="${BOX.h - 28}" rx="2" style="fill:var(--${node.tone})"/>
    ${text("title", 23, node.title)}${text("amount", 48, node.amount)}${text("detail", 69, node.detail)}</g>`;
}

function architecture(nodes, kind, summary) {
  const { size, at, direct } = LAYOUTS[kind], ghosts = new Set(nodes.filter((one) => one.ghost).map((one) => one.name));
  const faint = ([a, b]) => ghosts.has(a) || ghosts.has(b);
  const lines = EDGES.map((pair) => `<path class="edge${faint(pair) ? " ghost" : ""}" d="${edge(at[pair[0]], at[pair[1]])}" marker-end="url(#${kind}-${faint(pair) ? "faint" : "head"})"/>`);
  if (ghosts.has("cdn")) lines.push(`<path class="edge" d="${direct(at.variants, at.viewers)}" marker-end="url(#${kind}-head)"/>`);
  const head = (name, tone) => `<marker id="${kind}-${name}" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto" markerUnits="userSpaceOnUse"><path style="fill:var(--${tone})" d="M0 0 8 4 0 8z"/></marker>`;
  return `<svg class="${kind}" viewBox="-2 0 ${size[0] + 4} ${size[1]}" role="img" aria-label="${escaped(summary)}"><defs>${head("head", "soft")}${head("faint", "line")}</defs>${lines.join("")}${nodes.map((node) => box(node, at[node.name])).join("")}</svg>`;
}

// A round number at or above `value`: 1, 2, 2.5 or 5 times a power of ten.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function bars(months, tones, money) {
  const w = 560, h = 236, left = 62, bottom = 24, top = ceiling(Math.max(0.01, ...months.map((one) => one.total)));
  const y = (value) => 8 + (h - bottom - 8) * (1 - value / top), step = (w - left) / months.length;
  const rules = [0, 0.5, 1].map((share) => `<line class="rule" x1="${left}" x2="${w}" y1="${y(top * share)}" y2="${y(top * share)}"/><text class="axis" text-anchor="end" x="${left - 8}" y="${y(top * share) + 4}">${money(top * share)}</text>`);
  const stacks = months.map((month, at) => {
    let base = 0;
    const x = left + at * step + step * 0.14, width = step * 0.72;
    const parts = Object.entries(month.groups).map(([group, amount]) => {
      const from = y(base + amount), to = y(base);
      base += amount;
      return `<rect x="${x}" y="${from}" width="${width}" height="${Math.max(0, to - from)}" style="fill:var(--${tones[group]})"/>`;
    });
    const every = Math.ceil(months.length / 12);
    const label = at % every ? "" : `<text class="axis" text-anchor="middle" x="${x + width / 2}" y="${h - 6}">${month.number}</text>`;
    return `<g><title>month ${month.number}: ${money(month.total)}</title>${parts.join("")}${label}</g>`;
  });
  const last = months.at(-1);
  const told = `Month 1 costs ${money(months[0].total)}, month ${last.number} ${money(last.total)}`;
  return `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${escaped(told)}">${rules.join("")}${stacks.join("")}</svg>`;
}
