// The main chart. Everything it draws is read from the table behind it.
import uPlot from "uplot";

const HEIGHT = 236;

/** Reads the table: columns with their measure and unit, rows with raw and written numbers. */
function readTable() {
  const table = document.getElementById("chart-table");
  const columns = [...table.querySelectorAll("thead th[data-measure]")].map(({ dataset }) => ({
    measure: dataset.measure, label: dataset.label, unit: dataset.unit, digits: Number(dataset.digits),
  }));
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => ({
    label: row.querySelector("th").firstChild.textContent.trim(),
    partial: row.hasAttribute("data-partial"),
    cells: [...row.querySelectorAll("td[data-raw]")].map((cell) => ({ raw: Number(cell.dataset.raw), text: cell.textContent })),
    earlier: [...row.querySelectorAll("td[data-earlier]")].map((cell) => ({ raw: Number(cell.dataset.earlier), text: cell.textContent })),
    earlierLabel: row.querySelector(".earlier-label")?.textContent ?? "",
  }));
  return { columns, rows, isCompared: table.dataset.earlier !== "" };
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  constructor(mount) {
    this.mount = mount;
    this.measure = "redemptions";
    this.unit = null;
    this.tip = element("div", "chart-tip");
    this.tip.hidden = true;
    this.width = 0;
    new ResizeObserver(() => this.resize()).observe(mount.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    mount.tabIndex = 0;
    mount.setAttribute("role", "slider");
    mount.setAttribute("aria-label", "Chart: move with the arrow keys");
    mount.setAttribute("aria-orientation", "horizontal");
    mount.addEventListener("keydown", (event) => this.onKey(event));
    mount.addEventListener("blur", () => this.point(null));
  }

  /** The table changed. */
  update() {
    const data = readTable();
    this.mount.hidden = !data.rows.some((row) => [...row.cells, ...row.earlier].some((cell) => cell.raw !== 0));
    const shape = JSON.stringify([data.columns, data.isCompared, data.rows.map((row) => [row.label, row.partial, row.earlierLabel])]);
    const sameShape = shape === this.shape;
    this.shape = shape;
    this.data = data;
    if (!this.column()) this.unit = null;
    if (!sameShape) this.controls();
    if (sameShape && this.plot) this.plot.setData(this.series());
    else this.draw();
    if (this.index != null) this.point(Math.min(this.index, data.rows.length - 1));
    this.describe();
  }

  columnIndex() {
    const { columns } = this.data;
    const found = columns.findIndex((column) => column.measure === this.measure && (this.unit === null || column.unit === this.unit));
    return found < 0 ? columns.findIndex((column) => column.measure === this.measure) : found;
  }

  column() {
    return this.data.columns[this.columnIndex()];
  }

  series() {
    const index = this.columnIndex();
    const numbers = (of) => this.data.rows.map((row) => of(row)[index]?.raw ?? 0);
    const now = [this.data.rows.map((_, x) => x), numbers((row) => row.cells)];
    return this.data.isCompared ? [...now, numbers((row) => row.earlier)] : now;
  }

  /** Buttons for measure and currency. */
  controls() {
    const holder = document.getElementById("chart-controls");
    const measures = new Map(this.data.columns.map((column) => [column.measure, column.label]));
    holder.replaceChildren(this.choices("Measure", [...measures], this.measure, (value) => { this.measure = value; }));
    const units = this.data.columns.filter((column) => column.measure === this.measure && column.unit).map((column) => column.unit);
    if (units.length === 1) holder.prepend(element("span", "unit", units[0]));
    if (units.length > 1) {
      holder.append(this.choices("Currency", units.map((unit) => [unit, unit]), this.column().unit, (value) => { this.unit = value; }));
    }
  }

  choices(name, options, chosen, choose) {
    const group = element("div", "segments");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    for (const [value, label] of options) {
      const button = element("button", "");
      button.type = "button";
      button.textContent = label;
      button.setAttribute("aria-pressed", String(value === chosen));
      button.addEventListener("click", () => {
        choose(value);
        this.controls();
        this.draw();
        this.describe();
        [...document.querySelectorAll("#chart-controls button")].find((other) => other.textContent === label)?.focus();
      });
      group.append(button);
    }
    return group;
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (this.mount.hidden || !this.data?.rows.length) return;
    this.width = this.mount.clientWidth;
    if (!this.width) return;
    this.plot = new uPlot(this.options(), this.series(), this.mount);
    this.plot.over.append(this.tip);
  }

  options() {
    const text = color("--text-muted");
    const line = color("--line");
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: text, font, labelFont: font, ticks: { show: false } };
    const labels = this.data.rows.map((row) => row.label);
    const bars = {
      label: "value",
      points: { show: false },
      paths: uPlot.paths.bars({
        size: [0.72, 36],
        radius: [0.12, 0],
        disp: { fill: { unit: 3, values: () => this.fills() }, stroke: { unit: 3, values: () => this.fills() } },
      }),
      fill: color("--chart"),
      stroke: color("--chart"),
      width: 0,
    };
    // Told apart by its form: a dashed line with hollow points beside full bars.
    const earlier = {
      label: "earlier",
      stroke: text,
      width: 1.5,
      dash: [5, 4],
      points: { show: this.data.rows.length <= 62, size: 5, width: 1.5, stroke: text, fill: color("--surface") },
    };
    return {
      width: this.width,
      height: HEIGHT,
      legend: { show: false },
      padding: [12, 22, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, focus: { prox: -1 } },
      scales: { x: { time: false, range: (_, min, max) => [min - 0.5, max + 0.5] }, y: { range: (_, min, max) => this.yRange(min, max) } },
      axes: [
        { ...axis, size: 28, gap: 6, grid: { show: false }, splits: () => this.ticks(), values: (_, ticks) => ticks.map((tick) => labels[tick] ?? "") },
        { ...axis, size: (_, values) => 14 + 7 * Math.max(3, ...(values ?? []).map((value) => value.length)), gap: 6, grid: { stroke: line, width: 1 },
          incrs: this.increments(), values: (_, ticks) => ticks.map((tick) => this.short(tick)) },
      ],
      series: this.data.isCompared ? [{}, bars, earlier] : [{}, bars],
      hooks: { setCursor: [(plot) => this.showTip(plot.cursor.idx)] },
    };
  }

  /** The bucket that is not over is drawn lighter. */
  fills() {
    const full = color("--chart");
    const light = color("--chart-light");
    return this.data.rows.map((row) => (row.partial ? light : full));
  }

  /** As many bar labels as fit, the last one always among them. */
  ticks() {
    const count = this.data.rows.length;
    const widest = Math.max(...this.data.rows.map((row) => row.label.length)) * 7 + 18;
    const step = Math.max(1, Math.ceil(count / Math.max(1, Math.floor(this.width / widest))));
    const ticks = [];
    for (let index = count - 1; index >= 0; index -= step) ticks.unshift(index);
    return ticks;
  }

  /** Zero is always the baseline. */
  yRange(min, max) {
    const low = Math.min(0, min ?? 0);
    const high = Math.max(0, max ?? 0, low < 0 ? 0 : 2 * 10 ** this.column().digits);
    const room = (high - low) * 0.08;
    return [low < 0 ? low - room : 0, high + room];
  }

  increments() {
    const one = 10 ** this.column().digits;
    return Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power * one)).flat();
  }

  /** Axis words: whole units, thousands shortened. */
  short(raw) {
    const units = raw / 10 ** this.column().digits;
    const size = Math.abs(units);
    const [value, suffix] = size >= 1e9 ? [units / 1e9, "bn"] : size >= 1e6 ? [units / 1e6, "m"] : size >= 1e4 ? [units / 1e3, "k"] : [units, ""];
    return (value < 0 ? "−" : "") + Math.abs(value).toLocaleString("en", { maximumFractionDigits: 1 }) + suffix;
  }

  words(index) {
    const row = this.data.rows[index];
    const column = this.column();
    const number = row.cells[this.columnIndex()]?.text ?? "0";
    const written = (number) => `${number}${column.unit ? ` ${column.unit}` : ""}`;
    const before = row.earlier[this.columnIndex()];
    return {
      when: row.label + (row.partial ? " (so far)" : ""), what: written(number), measure: column.label,
      earlier: before ? `${row.earlierLabel}: ${written(before.text)}` : "",
    };
  }

  showTip(index) {
    if (index == null || !this.data.rows[index]) {
      this.tip.hidden = true;
      return;
    }
    const { when, what, measure, earlier } = this.words(index);
    const strong = element("strong", "");
    strong.textContent = what;
    this.tip.replaceChildren(element("span", "", when), strong, element("span", "", measure), ...(earlier ? [element("span", "tip-earlier", earlier)] : []));
    this.tip.hidden = false;
    const center = this.plot.valToPos(index, "x");
    const half = this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.max(half, Math.min(this.plot.over.clientWidth - half, center))}px`;
  }

  onKey(event) {
    const last = this.data.rows.length - 1;
    const now = this.index ?? last + 1;
    const moves = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: last, PageUp: now - 7, PageDown: now + 7 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.point(Math.max(0, Math.min(last, moves[event.key])));
  }

  /** Moves the cursor from the keyboard. */
  point(index) {
    this.index = index;
    if (!this.plot) return;
    if (index == null) this.plot.setCursor({ left: -10, top: -10 });
    else this.plot.setCursor({ left: this.plot.valToPos(index, "x"), top: 10 });
    this.describe();
  }

  /** What a screen reader says about the chart. */
  describe() {
    const last = Math.max(0, this.data.rows.length - 1);
    const index = Math.min(this.index ?? last, last);
    this.mount.setAttribute("aria-valuemin", "0");
    this.mount.setAttribute("aria-valuemax", String(last));
    this.mount.setAttribute("aria-valuenow", String(index));
    if (!this.data.rows.length) return;
    const { when, what, measure, earlier } = this.words(index);
    this.mount.setAttribute("aria-valuetext", `${when}: ${measure} ${what}${earlier ? `; ${earlier}` : ""}`);
  }

  resize() {
    const width = this.mount.clientWidth;
    if (!width || width === this.width) return;
    if (!this.plot) this.draw();
    else {
      this.width = width;
      this.plot.setSize({ width, height: HEIGHT });
    }
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text != null) made.textContent = text;
  return made;
}
