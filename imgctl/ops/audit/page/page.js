"use strict";
(() => {
  const PAGE = 100, MOST_BARS = 62;
  const [CODE, WHY, ID, KEY, ROLE, BYTES, USER, UPLOADED, MODIFIED, DETAIL, THUMB] = [...Array(11).keys()];
  const TONES = {
    missing_original: "loss", size_mismatch: "loss", empty_blob: "loss", checksum_mismatch: "loss",
    missing_variant: "work", stuck_uploading: "work", stuck_processing: "work", failed: "work",
    archived_without_variants: "work",
  };
  const WORST = ["loss", "work", "order"];
  const SVG = "http://www.w3.org/2000/svg";
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("findings").textContent);
  const about = JSON.parse(at("about").textContent);
  const texts = new Array(data.length);
  const view = { codes: new Set(), span: null, words: "", sort: null, down: false, page: 0, rows: [] };

  const tone = (code) => TONES[code] || "order";
  const count = (number) => number.toLocaleString("en");
  const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
  /* A blob without a row counts for the day in its key. */
  const keyed = (row) => (/(\d{4})\/(\d\d)\/(\d\d)\/[^/]+$/.exec(row[KEY] || "") || []).slice(1).join("-");
  const day = (row) => (row[UPLOADED] || keyed(row) || row[MODIFIED] || "").slice(0, 10);
  const text = (index) =>
    (texts[index] ??= [WHY, ID, KEY, ROLE, USER, DETAIL].map((n) => data[index][n] || "").join("\n").toLowerCase());

  function size(bytes) {
    if (bytes === null) return "";
    let value = bytes, unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
  }

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(name, attributes, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function head() {
    const found = data.length;
    const ids = new Set(data.map((row) => row[ID]).filter(Boolean));
    at("verdict").textContent = found
      ? `${plural(found, "finding", "findings")}: ${count(ids.size)} of ${plural(about.images, "image", "images")} affected`
      : `Nothing found in ${plural(about.images, "image", "images")}`;
    at("interrupted").hidden = !about.interrupted;
    at("young").hidden = !about.young;
    at("young").textContent = `${plural(about.young, "finding", "findings")} left out: too young (--grace), perhaps in flight.`;
    at("charts").hidden = at("list").hidden = !found;
    const places = [["Catalog", about.catalog], ["Store", about.store], ["Scope", about.scope], ["Made", about.made_at]];
    for (const [name, value] of places) {
      if (!value) continue;
      if (at("places").childNodes.length) at("places").append(" · ");
      at("places").append(`${name} `, make("b", {}, value));
    }
    const bytes = data.reduce((sum, row) => sum + (row[BYTES] || 0), 0);
    const lost = data.reduce((sum, row) => sum + (tone(row[CODE]) === "loss"), 0);
    tile("Lost or damaged", count(lost));
    tile("Bytes concerned", size(bytes));
    tile("Images audited", count(about.images));
    tile("Blobs listed", count(about.blobs));
    if (about.cost) tile("Cost of the audit", about.cost);
    if (!found) return;
    at("foot").append("Nothing was changed; ", make("code", {}, "imgctl repair"), " shows the planned repairs.");
    if (about.expires) at("foot").append(` The pictures' links work until ${about.expires}.`);
  }

  function tile(name, value) {
    at("tiles").append(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  }

  function codes() {
    const counts = new Map();
    for (const row of data) counts.set(row[CODE], (counts.get(row[CODE]) || 0) + 1);
    const most = Math.max(1, ...counts.values());
    const sorted = [...counts].sort((a, b) => WORST.indexOf(tone(a[0])) - WORST.indexOf(tone(b[0])) || b[1] - a[1]);
    for (const [code, number] of sorted) {
      const width = Math.max(0.6, (100 * number) / most);
      const bar = draw("rect", { class: "tone", width, height: 10, rx: 0 });
      const chart = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, bar);
      const button = make("button", { type: "button", class: tone(code), "aria-pressed": "false", "data-code": code },
        make("span", { class: "name" }, code), chart, make("span", { class: "count" }, count(number)));
      button.addEventListener("click", () => {
        if (!view.codes.delete(code)) view.codes.add(code);
        update();
      });
      at("codes").append(button);
    }
  }

  /* Days if there is room for them, else months, else years. */
  function spans() {
    const days = data.map(day).filter(Boolean).sort();
    if (!days.length) return { length: 10, names: [] };
    const [first, last] = [days[0], days[days.length - 1]];
    for (const length of [10, 7, 4]) {
      const names = [];
      const step = new Date(`${first.slice(0, length)}${"-01-01".slice(length - 4)}T00:00:00Z`);
      while (names.length <= MOST_BARS && step.toISOString().slice(0, length) <= last.slice(0, length)) {
        names.push(step.toISOString().slice(0, length));
        if (length === 10) step.setUTCDate(step.getUTCDate() + 1);
        else if (length === 7) step.setUTCMonth(step.getUTCMonth() + 1);
        else step.setUTCFullYear(step.getUTCFullYear() + 1);
      }
      if (names.length <= MOST_BARS || length === 4) return { length, names };
    }
  }

  function days() {
    const { length, names } = spans();
    const sums = new Map(names.map((name) => [name, { loss: 0, work: 0, order: 0, all: 0 }]));
    for (const row of data) {
      const sum = sums.get(day(row).slice(0, length));
      if (sum) sum[tone(row[CODE])] += 1, (sum.all += 1);
    }
    const [wide, high] = [Math.max(240, at("days").clientWidth), Math.max(160, at("days").clientHeight)];
    const most = Math.max(1, ...[...sums.values()].map((sum) => sum.all));
    const [left, top, bottom] = [8 + 7 * count(most).length, 8, 22];
    const step = (wide - left) / Math.max(names.length, 6), plot = high - top - bottom;
    const chart = draw("svg", { viewBox: `0 0 ${wide} ${high}`, role: "presentation" });
    for (const share of [0, 0.5, 1]) {
      const y = top + plot * (1 - share);
      if (share === 0.5 && most < 2) continue;
      chart.append(draw("line", { x1: left, x2: wide, y1: y, y2: y }));
      chart.append(draw("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, count(Math.round(most * share))));
    }
    const within = (x) => Math.min(Math.max(x, 4 * length), wide - 3.5 * length);
    const every = Math.ceil(names.length / Math.max(1, Math.floor((wide - left) / 84)));
    names.forEach((name, index) => {
      const sum = sums.get(name), x = left + index * step;
      if (index % every === 0) chart.append(draw("text", { x: within(x + step / 2), y: high - 4, "text-anchor": "middle" }, name));
      if (!sum.all) return;
      const label = `${name}: ${plural(sum.all, "finding", "findings")}`;
      const bar = draw("g", { role: "button", tabindex: 0, "aria-label": label, "aria-pressed": "false", "data-span": name },
        draw("title", {}, label), draw("rect", { class: "hit", x, y: top, width: step, height: plot }));
      let base = top + plot;
      for (const kind of WORST.filter((one) => sum[one])) {
        const part = (plot * sum[kind]) / most, width = Math.min(44, Math.max(1, step * 0.76));
        base -= part;
        bar.append(draw("rect", { class: `tone ${kind}`, x: x + (step - width) / 2, y: base, width, height: part }));
      }
      const toggle = () => {
        view.span = view.span === name ? null : name;
        update();
      };
      bar.addEventListener("click", toggle);
      bar.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle();
      });
      chart.append(bar);
    });
    at("days").replaceChildren(chart);
  }

  function choose() {
    const rows = [];
    for (let index = 0; index < data.length; index++) {
      const row = data[index];
      if (view.codes.size && !view.codes.has(row[CODE])) continue;
      if (view.span && !day(row).startsWith(view.span)) continue;
      if (view.words && !text(index).includes(view.words)) continue;
      rows.push(index);
    }
    if (view.sort !== null) {
      const column = view.sort, sign = view.down ? -1 : 1;
      const value = (index) => (column === UPLOADED ? data[index][UPLOADED] || day(data[index]) : data[index][column]);
      /* Records without a value come last, in both directions. */
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === y) return a - b;
        if (x === null || x === undefined) return 1;
        if (y === null || y === undefined) return -1;
        return x < y ? -sign : sign;
      });
    }
    return rows;
  }

  function marked(value) {
    const where = view.words ? value.toLowerCase().indexOf(view.words) : -1;
    if (where < 0) return [value];
    const end = where + view.words.length;
    return [value.slice(0, where), make("mark", {}, value.slice(where, end)), value.slice(end)];
  }

  function picture(row) {
    const frame = make("span");
    if (row[THUMB]) {
      const url = about.base ? about.base + row[THUMB] : row[THUMB];
      const image = make("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
      image.addEventListener("error", () => image.remove());
      frame.append(image);
    }
    return make("td", { class: "pic" }, frame);
  }

  function line(row) {
    const code = make("td", { class: tone(row[CODE]) }, make("span", { class: "code" }, row[CODE]));
    const why = [row[ROLE], row[WHY] && row[WHY].replaceAll("_", " ")].filter(Boolean).join(", ");
    if (why) code.append(make("span", { class: "why" }, ...marked(why)));
    const name = make("td", { class: "name" }, make("span", { class: "id" }, ...marked(row[ID] || row[KEY] || "")));
    if (row[ID] && row[KEY]) {
      /* Its id is shown above. */
      const short = view.words ? row[KEY] : row[KEY].replace(row[ID], "…");
      name.append(make("span", { class: "sub", title: row[KEY] }, ...marked(short)));
    }
    if (row[USER]) name.append(make("span", { class: "sub" }, "user ", ...marked(row[USER])));
    const moment = row[UPLOADED] || "";
    const when = make("td", { class: "when" }, day(row));
    if (row[UPLOADED]) when.append(make("span", { class: "hour" }, `${moment.slice(11, 16)} UTC`));
    const bytes = make("td", { class: "number" }, size(row[BYTES]));
    return make("tr", {}, picture(row), code, name, bytes, when, make("td", { class: "what" }, ...marked(row[DETAIL])));
  }

  function show() {
    const pages = Math.max(1, Math.ceil(view.rows.length / PAGE));
    view.page = Math.min(Math.max(0, view.page), pages - 1);
    const some = view.rows.slice(view.page * PAGE, (view.page + 1) * PAGE).map((index) => line(data[index]));
    const none = make("tr", { class: "empty" }, make("td", { colspan: 6 }, "Nothing fits these filters."));
    at("rows").replaceChildren(...(some.length ? some : [none]));
    at("page").textContent = `Page ${count(view.page + 1)} of ${count(pages)}`;
    at("pager").hidden = pages === 1;
    at("previous").disabled = view.page === 0;
    at("next").disabled = view.page === pages - 1;
  }

  function press() {
    for (const one of document.querySelectorAll("[data-code]")) one.setAttribute("aria-pressed", view.codes.has(one.dataset.code));
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", view.span === one.dataset.span);
  }

  function update() {
    view.rows = choose();
    view.page = 0;
    const narrowed = view.codes.size || view.span || view.words;
    at("shown").textContent = narrowed
      ? `${count(view.rows.length)} of ${plural(data.length, "finding", "findings")}`
      : plural(data.length, "finding", "findings");
    at("clear").hidden = !narrowed;
    document.body.classList.toggle("filtered", view.codes.size > 0);
    document.body.classList.toggle("dayed", view.span !== null);
    press();
    for (const one of document.querySelectorAll("th[data-sort]")) {
      if (Number(one.dataset.sort) === view.sort) one.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else one.removeAttribute("aria-sort");
    }
    show();
  }

  function turn(by) {
    view.page += by;
    show();
    at("listed").scrollIntoView({ block: "start" });
  }

  function listen() {
    let timer = 0;
    at("search").addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        view.words = event.target.value.trim().toLowerCase();
        update();
      }, data.length > 5000 ? 150 : 0);
    });
    at("clear").addEventListener("click", () => {
      Object.assign(view, { codes: new Set(), span: null, words: "" });
      at("search").value = "";
      update();
      at("search").focus();
    });
    for (const header of document.querySelectorAll("th[data-sort]")) {
      header.firstElementChild.addEventListener("click", () => {
        const column = Number(header.dataset.sort);
        view.down = view.sort === column && !view.down;
        view.sort = column;
        update();
      });
    }
    at("previous").addEventListener("click", () => turn(-1));
    at("next").addEventListener("click", () => turn(1));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && (event.target === at("search") || !at("clear").hidden)) at("clear").click();
    });
    /* On keyup: on keydown the key itself would be typed into the search. */
    document.addEventListener("keyup", (event) => {
      if (event.key === "/" && !event.ctrlKey && !event.metaKey) at("search").focus();
    });
    let width = at("main").clientWidth;
    new ResizeObserver(() => {
      /* Its height changes with every filter. */
      if (width === at("main").clientWidth) return;
      width = at("main").clientWidth;
      days();
      press();
    }).observe(at("main"));
  }

  head();
  codes();
  at("main").hidden = false;
  days();
  update();
  listen();
})();
