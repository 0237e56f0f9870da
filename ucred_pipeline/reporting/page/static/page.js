"use strict";

// The charts: each is drawn from the table that stands below it, so that both always say the same.
(() => {
  const DAY_S = 86400;
  const two = (number) => String(number).padStart(2, "0");
  const charts = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // A credit that is missing is later than any: it is drawn at the top of the chart.
  const seconds = (cell) => (cell.dataset.s === "inf" ? Infinity : Number.parseFloat(cell.dataset.s));

  const READ = {
    success: (cells) => [(100 * Number(cells[1].textContent)) / Number(cells[2].textContent)],
    latency: (cells) => [seconds(cells[0]), seconds(cells[1])],
  };

  const pointsOf = (figure) => {
    const rows = [...figure.parentElement.querySelectorAll("tbody tr")];
    const times = rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
    const told = rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent));
    const values = rows.map((row) => READ[figure.dataset.chart]([...row.querySelectorAll("td")]));
    return { times, told, lines: values[0].map((_, line) => values.map((point) => point[line])) };
  };

  const clock = (_chart, splits) =>
    splits.map((split, place) => {
      const at = new Date(split * 1000);
      const day = `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
      const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
      if (splits.length > 1 && splits[1] - splits[0] >= DAY_S) return day;
      return place === 0 || time === "00:00" ? `${time}\n${day}` : time;
    });

  // Credits that came days late would flatten everything else: then the scale is logarithmic.
  const MUCH = 20;
  const MARKS_S = [0.01, 0.1, 1, 10, 60, 600, 3600, 86400, 864000, 8640000];
  const lasting = (value) => {
    const [size, unit] = value < 60 ? [1, "s"] : value < 3600 ? [60, "min"] : value < DAY_S ? [3600, "h"] : [DAY_S, "d"];
    return `${+(value / size).toFixed(2)} ${unit}`;
  };
  const SCALE = {
    success: (lowest, _highest, limit) => ({ range: [Math.max(0, Math.floor(Math.min(lowest, limit) - 1)), 100.25] }),
    latency: (lowest, highest, limit) =>
      highest > MUCH * limit
        ? { distr: 3, range: [Math.max(0.01, Math.min(lowest, limit) / 3), highest * 2] }
        : { range: [Math.min(0, lowest), Math.max(limit, highest) * 1.15] },
  };
  const UNIT = { success: (value) => `${value}%`, latency: lasting };

  const draw = (figure) => {
    const kind = figure.dataset.chart;
    const limit = Number(figure.dataset.limit);
    const plot = figure.querySelector(".plot");
    const readout = figure.querySelector(".readout");
    const { times, told, lines } = pointsOf(figure);
    const finite = lines.flat().filter(Number.isFinite);
    const scale = SCALE[kind](Math.min(...finite), Math.max(...finite, 0), limit);
    const [low, high] = scale.range;
    const drawn = lines.map((line) => line.map((value) => Math.min(Math.max(value, low), high)));
    const marks = scale.distr ? { splits: () => MARKS_S.filter((mark) => mark >= low && mark <= high), filter: (_chart, splits) => splits } : {};
    const axis = {
      stroke: colour("soft"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    const main = { stroke: colour("accent"), width: 2, points: { show: times.length < 3 } };
    const series = kind === "latency" ? [{ stroke: colour("soft"), width: 1.5, points: { show: times.length < 3 } }, main] : [main];
    plot.replaceChildren();
    return new uPlot(
      {
        width: plot.clientWidth || 300,
        height: 230,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        scales: { x: { time: true }, y: scale },
        axes: [
          { ...axis, values: clock, size: 42, grid: { show: false } },
          { ...axis, ...marks, size: 56, values: (_chart, splits) => splits.map(UNIT[kind]) },
        ],
        series: [{}, ...series, { stroke: colour("critical"), width: 1.5, dash: [6, 5], points: { show: false } }],
        hooks: {
          setCursor: [
            (chart) => {
              const at = chart.cursor.idx;
              const when = at === null ? "" : figure.parentElement.querySelectorAll("tbody time")[at].textContent;
              const said = { success: (cells) => `${cells[0]}, ${cells[1]} of ${cells[2]}`, latency: (cells) => `${cells[0]}, ${cells[1]}` };
              readout.textContent = at === null ? "" : `${when}: ${said[kind](told[at])}`;
            },
          ],
        },
      },
      [times, ...drawn, times.map(() => limit)],
      plot,
    );
  };

  const drawAll = () => {
    for (const entry of charts) {
      entry.chart?.destroy();
      entry.chart = draw(entry.figure);
    }
  };

  const begin = () => {
    drawAll();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    new ResizeObserver(() => {
      for (const { figure, chart } of charts) {
        const width = figure.querySelector(".plot").clientWidth;
        if (width && width !== chart.width) chart.setSize({ width, height: 230 });
      }
    }).observe(document.querySelector("main"));
  };

  // The figures are painted first; only then comes what draws.
  const { plotter, looks } = document.currentScript.dataset;
  const loadAndBegin = () => {
    document.head.append(
      Object.assign(document.createElement("link"), { rel: "stylesheet", href: looks }),
      Object.assign(document.createElement("script"), { src: plotter, onload: begin }),
    );
  };
  for (const figure of document.querySelectorAll(".chart")) {
    if (figure.querySelector(".plot")) charts.push({ figure, chart: null });
  }
  if (charts.length) requestAnimationFrame(() => setTimeout(loadAndBegin));

  // A page that was left open says how old it is.
  const since = document.querySelector(".since");
  const opened = performance.now();
  setInterval(() => {
    const minutes = Math.floor((performance.now() - opened) / 60000);
    if (minutes < 1) return;
    since.textContent = `, ${minutes} min ago: reload for newer figures`;
    since.classList.toggle("late", minutes >= 5);
  }, 15000);
})();
