// Draws every chart of the report from the JSON in #figures. Text from the data reaches the page only as chart labels,
// which ECharts draws as text; tooltips are drawn on the chart too ("richText"), so nothing is ever parsed as HTML.
(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const ink = "#17202b", soft = "#5b6673", line = "#d9dee4";
  const joint = "#0072b2", alone = "#8a939d", good = "#56b4e9", bad = "#d55e00", navy = "#12304f";
  const bar = "rect";
  const font = getComputedStyle(document.body).fontFamily;

  const share = (v, d) => (v === null || v === undefined ? "–" : (100 * v).toFixed(d === undefined ? 1 : d) + " %");
  const fixed = (v, d) => (v === null || v === undefined ? "–" : Number(v).toFixed(d === undefined ? 3 : d));
  const points = (xs, ys) => (xs || []).map((x, i) => [x, (ys || [])[i]]);
  const last = (list) => list[list.length - 1];

  function axis(name, extra) {
    return Object.assign({
      type: "value", name: name, nameLocation: "middle", nameGap: 30, nameTextStyle: { color: soft, fontSize: 12 },
      axisLine: { show: true, lineStyle: { color: "#9aa5b1" } }, axisTick: { show: false },
      axisLabel: { color: soft, fontSize: 11.5 }, splitLine: { lineStyle: { color: "#edf0f3" } },
    }, extra || {});
  }
  const unit = (name, extra) => axis(name, Object.assign({ min: 0, max: 1, interval: 0.2 }, extra || {}));
  const rate = (name, extra) => axis(name, Object.assign({ axisLabel: { color: soft, fontSize: 11.5, formatter: (v) => share(v, v < 0.1 && v > 0 && (v * 100) % 1 > 0.01 ? 1 : 0) } }, extra || {}));
  const path = (name, data, colour, extra) => Object.assign({
    type: "line", name: name, data: data, showSymbol: false, lineStyle: { width: 2.4, color: colour },
    itemStyle: { color: colour }, emphasis: { disabled: true },
  }, extra || {});
  const dashed = (data, colour) => path("", data, colour || "#9aa5b1", {
    lineStyle: { type: [4, 4], width: 1.2, color: colour || "#9aa5b1" }, silent: true, tooltip: { show: false },
  });
  function frame(option) {
    return Object.assign({
      animation: false, textStyle: { fontFamily: font, color: ink },
      grid: { left: 56, right: 16, top: 36, bottom: 46 },
      legend: legend([]),
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, backgroundColor: "#fff", borderColor: line,
        textStyle: { color: ink, fontSize: 12 }, axisPointer: { lineStyle: { color: "#9aa5b1" } },
      },
    }, option);
  }
  const legend = (names, icon) => ({ data: names, icon: icon || bar, top: 0, left: 50, itemWidth: 18, itemHeight: icon ? 10 : 3, itemGap: 18, textStyle: { color: ink, fontSize: 12.5 }, selectedMode: false });
  const tip = (base, title, value) => Object.assign({}, base, {
    formatter: (rows) => [title(rows[0])].concat(rows.filter((r) => r.seriesName && !/^series/.test(r.seriesName))
      .map((r) => r.seriesName + "  " + value(r))).join("\n"),
  });

  const draw = {
    roc(m) {
      const names = ["joint"], series = [path("joint", points(m.roc.joint && m.roc.joint.fpr, m.roc.joint && m.roc.joint.tpr), joint)];
      series[0].areaStyle = { color: joint, opacity: 0.06 };
      if (m.roc.alone) {
        names.push(m.alone);
        series.push(path(m.alone, points(m.roc.alone.fpr, m.roc.alone.tpr), alone, { lineStyle: { width: 2, type: [7, 4], color: "#69737d" }, itemStyle: { color: "#69737d" } }));
      }
      series.push(dashed([[0, 0], [1, 1]]));
      const option = frame({ legend: legend(names), xAxis: unit("share of goods flagged"), yAxis: unit("share of bads flagged", { nameGap: 38 }), series: series });
      option.tooltip = tip(option.tooltip, (r) => "goods flagged " + share(r.value[0]), (r) => share(r.value[1]));
      return option;
    },

    ks_curve(m) {
      const k = m.ks_curve, goods = points(k.score, k.good), bads = points(k.score, k.bad);
      let widest = 0;
      goods.forEach((g, i) => { if (Math.abs(g[1] - bads[i][1]) > Math.abs(goods[widest][1] - bads[widest][1])) widest = i; });
      const at = goods[widest], series = [path("goods", goods, good), path("bads", bads, bad)];
      // A long thin tail of high scores would squeeze the part that matters; 97 % of the bads are enough to see.
      const tail = bads.find((p) => p[1] >= 0.97 && p[0] > (at ? at[0] : 0));
      if (at) {
        series[0].markLine = {
          silent: true, symbol: ["circle", "circle"], symbolSize: 6, lineStyle: { color: ink, width: 1.6, type: "solid" },
          label: { show: true, position: "middle", rotate: 0, align: "left", distance: [8, 0], offset: [8, 0], formatter: "KS " + fixed(m.ks === null || m.ks === undefined ? Math.abs(at[1] - bads[widest][1]) : m.ks), color: ink, fontWeight: 600, fontSize: 13, backgroundColor: "#ffffffd8", padding: [2, 5] },
          data: [[{ coord: at }, { coord: bads[widest] }]],
        };
      }
      const option = frame({ legend: legend(["goods", "bads"]), xAxis: rate("predicted probability of default", tail ? { max: tail[0] } : {}), yAxis: unit("share at or below", { nameGap: 38 }), series: series });
      if (tail) option.xAxis.axisLabel = Object.assign({}, option.xAxis.axisLabel, { showMaxLabel: false });
      option.tooltip = tip(option.tooltip, (r) => "score " + share(r.value[0], 2), (r) => share(r.value[1]));
      return option;
    },

    lift(m) {
      const rows = m.lift.reduce((sum, r) => sum + (r.rows || 0), 0) || 1;
      let seen = 0;
      const gain = [[0, 0]].concat(m.lift.map((r) => [(seen += r.rows || 0) / rows, r.cum_bads_share]));
      const option = frame({
        legend: legend(["joint", "no model"]),
        xAxis: rate("share of enterprises, worst-scored first", { min: 0, max: 1, interval: 0.2 }),
        yAxis: rate("share of all bads", { min: 0, max: 1, interval: 0.2, nameGap: 42 }),
        series: [
          path("joint", gain, joint, { showSymbol: true, symbol: "circle", symbolSize: 6, areaStyle: { color: joint, opacity: 0.06 } }),
          path("no model", [[0, 0], [1, 1]], "#9aa5b1", { lineStyle: { type: [4, 4], width: 1.2, color: "#9aa5b1" } }),
        ],
      });
      option.tooltip = tip(option.tooltip, (r) => "worst " + share(r.value[0], 0), (r) => share(r.value[1]));
      return option;
    },

    calibration(m) {
      const rows = m.calibration.filter((b) => b.predicted !== null && b.observed !== null);
      // Wilson's 95 % interval of each band's observed rate; a line with gaps draws all of them.
      const whiskers = rows.filter((b) => b.rows > 0).flatMap((b) => {
        const n = b.rows, q = b.observed, z = 1.96, d = 1 + z * z / n, half = z * Math.sqrt(q * (1 - q) / n + z * z / (4 * n * n)) / d;
        const middle = (q + z * z / (2 * n)) / d;
        return [[b.predicted, Math.max(middle - half, 0)], [b.predicted, middle + half], [null, null]];
      });
      const top = Math.max.apply(null, rows.map((b) => Math.max(b.predicted, b.observed)).concat(whiskers.map((p) => p[1] || 0), [0.01])) * 1.04;
      const option = frame({
        legend: legend(["observed"]),
        xAxis: rate("predicted default rate", { min: 0, max: top }), yAxis: rate("observed default rate", { min: 0, max: top, nameGap: 42 }),
        series: [
          dashed([[0, 0], [top, top]]),
          path("", whiskers, joint, { lineStyle: { width: 1.4, color: joint, opacity: 0.45 }, silent: true, tooltip: { show: false } }),
          path("observed", rows.map((b) => [b.predicted, b.observed]), joint, { showSymbol: true, symbol: "circle", symbolSize: 7 }),
        ],
      });
      option.xAxis.axisLabel.showMaxLabel = option.yAxis.axisLabel.showMaxLabel = false;
      option.tooltip = tip(option.tooltip, (r) => "predicted " + share(r.value[0]), (r) => share(r.value[1]));
      return option;
    },

    score_distribution(m) {
      const d = m.score_distribution, sum = (list) => list.reduce((a, b) => a + (b || 0), 0) || 1;
      const steps = (list) => { const all = sum(list); return d.edges.map((e, i) => [e, i < list.length ? list[i] / all : last(list) / all]); };
      const area = (name, list, colour) => path(name, steps(list), colour, { step: "end", lineStyle: { width: 1.8, color: colour }, areaStyle: { color: colour, opacity: 0.28 } });
      const option = frame({
        legend: legend(["goods", "bads"]),
        xAxis: rate("predicted probability of default", { min: d.edges[0], max: last(d.edges) }), yAxis: rate("share of goods, of bads", { nameGap: 42 }),
        series: [area("goods", d.good || [], good), area("bads", d.bad || [], bad)],
      });
      option.xAxis.axisLabel.showMaxLabel = false;
      option.tooltip = tip(option.tooltip, (r) => "from " + share(r.value[0], 2), (r) => share(r.value[1]));
      return option;
    },

    stability(m) {
      const bands = m.stability.bands || [];
      const bars = (name, key, colour) => ({ type: "bar", name: name, data: bands.map((b) => b[key]), itemStyle: { color: colour }, barGap: "8%", barCategoryGap: "32%" });
      const option = frame({
        legend: legend(["training", "held out"], "roundRect"), grid: { left: 56, right: 16, top: 34, bottom: 42 },
        xAxis: { type: "category", data: bands.map((b) => String(b.band)), name: "score band", nameLocation: "middle", nameGap: 26, nameTextStyle: { color: soft, fontSize: 12 }, axisTick: { show: false }, axisLine: { lineStyle: { color: "#9aa5b1" } }, axisLabel: { color: soft } },
        yAxis: rate("share of rows", { nameGap: 42 }), series: [bars("training", "train_share", alone), bars("held out", "test_share", joint)],
      });
      option.tooltip = tip(option.tooltip, (r) => "band " + r.name, (r) => share(r.value));
      return option;
    },

    confusion(m) {
      const rows = m.confusion.filter((r) => r.approval_rate !== null && r.bad_rate !== null).slice().sort((a, b) => a.approval_rate - b.approval_rate);
      const option = frame({
        legend: { show: false }, grid: { left: 60, right: 20, top: 16, bottom: 46 },
        xAxis: rate("approved", { min: 0, max: 1, interval: 0.2 }), yAxis: rate("bad rate of approved", { min: 0, nameGap: 44 }),
        series: [path("bad rate", rows.map((r) => [r.approval_rate, r.bad_rate, r.cutoff]), joint, { showSymbol: true, symbol: "circle", symbolSize: 7 })],
      });
      option.tooltip = tip(option.tooltip, (r) => "refuse from " + share(r.value[2]), (r) => share(r.value[1], 2) + "\napproved  " + share(r.value[0]));
      return option;
    },

    bands(m) {
      const rows = m.bands, shares = rows.map((r) => r.share), rates = rows.map((r) => r.bad_rate);
      const option = frame({
        legend: legend(["share of rows", "bad rate"], "roundRect"), grid: { left: 56, right: 56, top: 40, bottom: 74 },
        xAxis: { type: "category", data: rows.map((r) => r.band), name: "points", nameLocation: "middle", nameGap: 54, nameTextStyle: { color: soft, fontSize: 12 }, axisTick: { show: false }, axisLine: { lineStyle: { color: "#9aa5b1" } }, axisLabel: { color: soft, fontSize: 11, rotate: 40, interval: rows.length > 12 ? "auto" : 0 } },
        yAxis: [rate("share of rows", { min: 0, nameGap: 42 }), rate("bad rate", { min: 0, position: "right", splitLine: { show: false }, nameGap: 42 })],
        series: [
          { type: "bar", name: "share of rows", data: shares, itemStyle: { color: "#cfd8e1" }, barCategoryGap: "24%", yAxisIndex: 0 },
          path("bad rate", rates, bad, { showSymbol: true, symbol: "circle", symbolSize: 7, yAxisIndex: 1 }),
        ],
      });
      option.tooltip = tip(option.tooltip, (r) => r.name, (r) => share(r.value));
      return option;
    },

    cutoffs(m) {
      const rows = m.cutoffs.filter((r) => r.approval_rate !== null && r.bad_rate !== null).slice().sort((a, b) => a.approval_rate - b.approval_rate);
      const named = (r) => String(r.value[2]);
      const option = frame({
        legend: { show: false }, grid: { left: 60, right: 24, top: 20, bottom: 46 },
        xAxis: rate("approved", { min: 0, max: 1, interval: 0.2 }), yAxis: rate("bad rate of approved", { min: 0, nameGap: 44 }),
        series: [path("bad rate of approved", rows.map((r) => [r.approval_rate, r.bad_rate, r.cutoff, r.bad_rejected]), joint, {
          showSymbol: true, symbol: "circle", symbolSize: 8,
          label: { show: rows.length < 40, position: "left", offset: [4, -9], color: soft, fontSize: 11, formatter: named }, labelLayout: { hideOverlap: true },
        })],
      });
      option.tooltip = tip(option.tooltip, (r) => "approve from " + named(r), (r) => share(r.value[1], 2) + "\napproved  " + share(r.value[0]) + "\nbads refused  " + share(r.value[3]));
      return option;
    },

    periods(m) {
      const p = m.periods, colours = [navy, joint, bad, good, "#009e73", "#69737d"];
      const option = frame({
        legend: legend(p.lines.map((l) => l.name)), grid: { left: 60, right: 24, top: 40, bottom: 34 },
        xAxis: { type: "category", data: p.names, axisTick: { show: false }, axisLine: { lineStyle: { color: "#9aa5b1" } }, axisLabel: { color: soft, fontSize: 11, hideOverlap: true } },
        yAxis: axis("index", { min: 0, nameGap: 44 }),
        series: p.lines.map((l, i) => path(l.name, l.index, colours[i % colours.length], { showSymbol: true, symbol: "circle", symbolSize: 6 })),
      });
      option.tooltip = tip(option.tooltip, (r) => r.name, (r) => fixed(r.value));
      return option;
    },

    bins(m, item) {
      const b = m.bins[item], some = (list) => (list || []).some((v) => v !== null && v !== undefined);
      // What is drawn beside the rows is what this party knows of a bin: its bad rate, its weight of evidence, or nothing.
      const rates = some(b.bad_rate), evidence = some(b.woe), names = ["rows"];
      const series = [{ type: "bar", name: "rows", data: b.rows, itemStyle: { color: "#cfd8e1" }, barCategoryGap: "28%", yAxisIndex: 0 }];
      const beside = (name, list, colour) => {
        names.push(name);
        series.push(path(name, list, colour, { showSymbol: true, symbol: "circle", symbolSize: 7, yAxisIndex: 1 }));
      };
      if (rates) beside("bad rate", b.bad_rate, bad);
      else if (evidence) beside("WOE", b.woe, joint);
      if (rates && evidence) {
        last(series).label = { show: true, position: "top", color: soft, fontSize: 11, formatter: (r) => fixed(b.woe[r.dataIndex], 2) };
      }
      const right = { position: "right", splitLine: { show: false }, nameGap: 44 };
      const option = frame({
        legend: legend(names, "roundRect"), grid: { left: 60, right: 60, top: 40, bottom: 34 },
        xAxis: { type: "category", data: b.bin.map(String), axisTick: { show: false }, axisLine: { lineStyle: { color: "#9aa5b1" } }, axisLabel: { color: soft, fontSize: 11, hideOverlap: true, width: 90, overflow: "truncate" } },
        yAxis: [axis("rows", { nameGap: 46 }), rates ? rate("bad rate", right) : axis(evidence ? "WOE" : "", right)],
        series: series,
      });
      option.tooltip = tip(option.tooltip, (r) => r.name, (r) => (r.seriesName === "rows" ? String(r.value) : r.seriesName === "WOE" ? fixed(r.value)
        : share(r.value) + (evidence ? "\nWOE  " + fixed(b.woe[r.dataIndex]) : "")));
      return option;
    },

    tables(m, item) {
      const t = m.tables[item], names = ["rows"];
      const series = [{ type: "bar", name: "rows", data: t.rows, itemStyle: { color: "#cfd8e1" }, barCategoryGap: "28%", yAxisIndex: 0 }];
      if (t.mean) {
        names.push("mean");
        series.push(path("mean", t.mean, joint, { showSymbol: true, symbol: "circle", symbolSize: 7, yAxisIndex: 1 }));
      }
      const option = frame({
        legend: legend(names, "roundRect"), grid: { left: 60, right: 70, top: 40, bottom: 34 },
        xAxis: { type: "category", data: t.columns.map(String), axisTick: { show: false }, axisLine: { lineStyle: { color: "#9aa5b1" } }, axisLabel: { color: soft, fontSize: 11, hideOverlap: true, width: 90, overflow: "truncate" } },
        yAxis: [axis("rows", { nameGap: 46, min: 0 }), axis(t.mean ? "mean of " + t.of : "", { position: "right", splitLine: { show: false }, nameGap: 54, scale: true })],
        series: series,
      });
      option.tooltip = tip(option.tooltip, (r) => r.name, (r) => (r.seriesName === "rows" ? String(r.value) : fixed(r.value, 4)));
      return option;
    },

    learning(m) {
      const l = m.learning, trees = l.tree || (l.train_logloss || []).map((_, i) => i + 1), names = ["training"];
      const series = [path("training", points(trees, l.train_logloss), alone, { lineStyle: { width: 2, color: "#69737d", type: [7, 4] }, itemStyle: { color: "#69737d" } })];
      if (l.valid_logloss && l.valid_logloss.length) {
        names.push("held out");
        series.push(path("held out", points(trees, l.valid_logloss), joint));
      }
      const option = frame({ legend: legend(names), xAxis: axis("tree", { min: trees.length ? trees[0] : 0, max: trees.length ? last(trees) : 1, minInterval: 1, splitLine: { show: false } }), yAxis: axis("log-loss", { scale: true, nameGap: 44 }), series: series });
      option.tooltip = tip(option.tooltip, (r) => "tree " + r.value[0], (r) => fixed(r.value[1], 4));
      return option;
    },
  };

  const drawn = new Map();
  function show(root) {
    root.querySelectorAll(".chart").forEach((place) => {
      if (drawn.has(place) || place.offsetParent === null) return;
      const model = figures[Number(place.dataset.model)];
      let option;
      try {
        option = draw[place.dataset.chart](model, Number(place.dataset.item));
      } catch (fault) { // series that do not fit together: the tables still say what there is
        place.closest("figure").hidden = true;
        return;
      }
      const chart = echarts.init(place, null, { renderer: "svg" });
      chart.setOption(option);
      drawn.set(place, chart);
    });
  }
  const resize = () => drawn.forEach((chart, place) => { if (place.offsetParent !== null) chart.resize(); });

  const tabs = Array.from(document.querySelectorAll("[role=tab]"));
  function select(chosen) {
    tabs.forEach((tab) => {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    });
    show(document);
    resize();
  }
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  });
  if (tabs.length) select(tabs[0]); else show(document);

  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(resize, 120); });
  // The page is laid out for the screen when printing starts, so it is set to the paper's width first.
  let hidden = [], folded = [];
  window.addEventListener("beforeprint", () => {
    hidden = Array.from(document.querySelectorAll(".model[hidden]"));
    hidden.forEach((panel) => { panel.hidden = false; });
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach((part) => { part.open = true; });
    document.body.classList.add("paper");
    show(document);
    resize();
    drawn.forEach((chart) => chart.getZr().flush()); // charts are drawn in the next frame, which paper does not wait for
  });
  window.addEventListener("afterprint", () => {
    document.body.classList.remove("paper");
    hidden.forEach((panel) => { panel.hidden = true; });
    folded.forEach((part) => { part.open = false; });
    resize();
  });
  document.documentElement.dataset.drawn = String(drawn.size);
})();
