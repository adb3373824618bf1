// The chart's code comes as a file of its own, on pages that have a chart.

let chart = null;
let loading = null;

export function startChart() {
  refresh();
  document.addEventListener("page:changed", refresh);
}

async function refresh() {
  const mount = document.getElementById("chart");
  if (!mount || !document.getElementById("chart-table")) return;
  loading ??= import("./chart.js");
  const { Chart } = await loading;
  if (chart?.mount !== mount) chart = new Chart(mount);
  chart.update();
}
