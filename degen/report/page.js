"use strict";
// Draws every figure of the page from the CSV beside it, hides models, and changes the axis of training.
(() => {
  const views = new Map(); // figure -> its view, and the models that its legend has
  const hidden = new Set();
  const chosen = { unit: "step", scale: "linear" };

  // The numbers of a figure: each table of it by name, read from its CSV.
  function tablesOf(figure) {
    const tables = {};
    for (const area of figure.querySelectorAll("textarea[data-table]")) {
      const types = JSON.parse(area.dataset.types);
      const [columns, ...lines] = cellsOf(area.value);
      tables[area.dataset.table] = lines.map((cells) => Object.fromEntries(columns.map((name, i) => [
        name, cells[i] === "" ? null : types[name] === "number" ? Number(cells[i]) : cells[i],
      ])));
    }
    return tables;
  }

  // The cells of CSV whose lines end in \n: bare, or in quotes that are doubled inside.
  function cellsOf(text) {
    const lines = [[]];
    for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n]*))(,|\n|$)/g)) {
      if (end === "" && bare === "" && lines.at(-1).length === 0) break;
      lines.at(-1).push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
      if (end === "\n") lines.push([]);
      if (end === "") break;
    }
    return lines.filter((line) => line.length);
  }

  // The specification with the chosen unit and scale of training. A logarithm of step 0 does not exist: the axis is
  // linear below the first checkpoint after it.
  function overTraining(spec, tables) {
    const rows = Object.values(tables)[0];
    const positive = rows.map((row) => row[chosen.unit]).filter((x) => x > 0);
    const least = Math.min(...positive), most = Math.max(...positive);
    const ticks = [0];
    for (let power = 10 ** Math.floor(Math.log10(least)); power <= most; power *= 10) if (power >= least) ticks.push(power);
    const change = (channel) => {
      if (channel === null || typeof channel !== "object" || typeof channel.field !== "string") return;
      if (!/^step(_low|_high)?$/.test(channel.field)) return;
      channel.field = channel.field.replace("step", chosen.unit);
      if (channel.title === "step") channel.title = chosen.unit === "step" ? "step" : "training tokens";
      if (chosen.scale === "log" && positive.length) {
        channel.scale = { ...channel.scale, type: "symlog", constant: least };
        channel.axis = { ...channel.axis, values: ticks };
      }
      if (channel.axis && chosen.unit === "tokens") {
        channel.axis = { ...channel.axis, labelExpr: "replace(format(datum.value, '~s'), 'G', 'B')" };
      }
    };
    const visit = (unit) => {
      if (unit.encoding) { change(unit.encoding.x); change(unit.encoding.x2); }
      (unit.layer || []).forEach(visit);
    };
    visit(spec);
    return spec;
  }

  async function draw(figure) {
    const target = figure.querySelector(".drawing");
    const tables = tablesOf(figure);
    let spec = JSON.parse(figure.querySelector("script.spec").textContent);
    if ("overTraining" in figure.dataset) spec = overTraining(spec, tables);
    spec.datasets = tables;
    fitLegends(spec, target.clientWidth);
    const result = await window.vegaEmbed(target, spec, {
      mode: "vega-lite", ast: true, actions: false, renderer: figure.dataset.renderer, tooltip: { theme: "light" },
      logLevel: 1, defaultStyle: false,
    });
    const before = views.get(figure);
    if (before) before.view.finalize();
    const entry = { view: result.view, models: null };
    views.set(figure, entry);
    if ((spec.params || []).some((param) => param.name === "visible")) {
      entry.models = result.view.data("visible_store").slice();
      show(entry);
      result.view.addSignalListener("visible", () => followLegend(entry));
    }
  }

  // Fewer columns in a legend, and shorter labels, where the page is narrow.
  function fitLegends(spec, width) {
    const longest = Math.max(0, ...legendLabels(spec).map((label) => label.length));
    const entry = Math.min(30 + 6.5 * longest, width);
    spec.config.legend = { ...spec.config.legend, columns: Math.max(1, Math.floor(width / entry)), labelLimit: width - 120 }; // beside the axis and the symbol
  }

  // The labels of the legend: the domain of the colours, where it is a list of names.
  function legendLabels(spec) {
    const domains = [spec, ...(spec.layer || [])].map((unit) => unit.encoding?.color?.scale?.domain || []);
    return domains.flat().filter((label) => typeof label === "string");
  }

  const nameOf = (tuple) => tuple.values[0];

  // Puts into the figure's selection the models that are not hidden.
  function show(entry) {
    if (!entry.models) return;
    const wanted = entry.models.filter((tuple) => !hidden.has(nameOf(tuple)));
    const now = entry.view.data("visible_store").map(nameOf);
    if (now.length === wanted.length && wanted.every((tuple) => now.includes(nameOf(tuple)))) return;
    entry.view.data("visible_store", wanted);
    entry.view.runAsync();
  }

  // A click on a legend has changed one figure: the others, and the boxes above, follow.
  function followLegend(entry) {
    const now = new Set(entry.view.data("visible_store").map(nameOf));
    for (const tuple of entry.models) {
      if (now.has(nameOf(tuple))) hidden.delete(nameOf(tuple)); else hidden.add(nameOf(tuple));
    }
    spread();
  }

  function spread() {
    for (const box of document.querySelectorAll("input[data-model]")) box.checked = !hidden.has(box.dataset.model);
    for (const entry of views.values()) show(entry);
  }

  // A cell that a spreadsheet would compute gets a ' in front, as in files of `degen export`.
  function withoutFormulas(text) {
    return text.split("\n").map((line) => line.replace(/(^|,)("?)([=+@\t\r]|-(?![\d.]))/g, "$1$2'$3")).join("\n");
  }

  function save(button) {
    const text = withoutFormulas(document.getElementById(button.dataset.csv).value);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = button.dataset.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  document.addEventListener("click", (event) => {
    if (event.target.matches("button.save")) save(event.target);
  });
  document.addEventListener("change", async (event) => {
    const input = event.target;
    if (input.dataset.model !== undefined) {
      if (input.checked) hidden.delete(input.dataset.model); else hidden.add(input.dataset.model);
      spread();
    } else if (input.name === "unit" || input.name === "scale") {
      chosen[input.name] = input.value;
      for (const figure of document.querySelectorAll("figure[data-over-training]")) await draw(figure);
    }
  });

  async function drawAll() {
    for (const figure of document.querySelectorAll("figure")) await draw(figure);
    document.documentElement.dataset.drawn = "yes";
  }
  window.degenViews = views; // for whoever looks from the console
  drawAll();
})();
