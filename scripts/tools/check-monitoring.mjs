// Alerts, dashboard and runbook against the metrics that the program has (telemetry/src/metrics.rs), and against each
// other. With `--rules FILE` it also writes the dashboard's queries as rules, for promtool to read.
import {readFileSync, readdirSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {parse} from "yaml";

const faults = [];
const fault = (where, words) => faults.push(`${where}: ${words}`);

// name -> {kind, variant}
const metrics = new Map();
for (const [, variant, name, kind] of readFileSync("telemetry/src/metrics.rs", "utf8").matchAll(/^ {4}(\w+), "(at_\w+)", (Counter|Gauge|Histogram), /gm)) {
    metrics.set(name, {kind, variant});
}
if (metrics.size === 0) fault("telemetry/src/metrics.rs", "no metric was found in the table; has its form changed?");

const used = new Set();

// Every metric of a query exists and is asked for in a way that fits its kind.
function checkQuery(where, query) {
    if (typeof query !== "string" || query.trim() === "") {
        fault(where, "has no query");
        return;
    }
    for (const [name] of query.matchAll(/\bat_\w+/g)) {
        const base = name.replace(/_(bucket|sum|count)$/, "");
        const metric = metrics.get(name) ?? metrics.get(base);
        if (!metric) {
            fault(where, `there is no metric ${name}`);
            continue;
        }
        used.add(metrics.has(name) ? name : base);
        const isPart = !metrics.has(name);
        if (isPart && metric.kind !== "Histogram") fault(where, `${base} is no histogram, so there is no ${name}`);
        if (!isPart && metric.kind === "Histogram") fault(where, `${name} is a histogram: ask for ${name}_bucket, _sum or _count`);
    }
}

function checkAlerts() {
    const where = "deploy/prometheus/alerts.yaml";
    const alerts = parse(readFileSync(where, "utf8")).groups.flatMap((group) => group.rules);
    for (const alert of alerts) {
        const at = `${where}, ${alert.alert}`;
        checkQuery(at, alert.expr);
        if (!["page", "ticket"].includes(alert.labels?.severity)) fault(at, "severity must be page or ticket");
        if (!["money", "delivery", "freshness"].includes(alert.labels?.risk)) fault(at, "risk must be money, delivery or freshness");
        if (!alert.annotations?.summary) fault(at, "has no summary");
        const link = `docs/RUNBOOK.md#${String(alert.alert).toLowerCase()}`;
        if (alert.annotations?.runbook !== link) fault(at, `runbook must be ${link}`);
    }
    return alerts.map((alert) => alert.alert);
}

function checkTests(alerts) {
    const where = "deploy/prometheus/alerts.test.yaml";
    const cases = parse(readFileSync(where, "utf8")).tests.flatMap((test) => test.alert_rule_test);
    for (const name of alerts) {
        const own = cases.filter((one) => one.alertname === name);
        if (!own.some((one) => one.exp_alerts.length > 0)) fault(where, `nothing raises ${name}`);
        if (!own.some((one) => one.exp_alerts.length === 0)) fault(where, `nothing shows when ${name} stays quiet`);
    }
    for (const one of cases) if (!alerts.includes(one.alertname)) fault(where, `there is no alert ${one.alertname}`);
}

function checkRunbook(alerts) {
    const where = "docs/RUNBOOK.md";
    const entries = readFileSync(where, "utf8").split(/^## /m).slice(1);
    const headings = entries.map((entry) => entry.split("\n", 1)[0].trim());
    for (const name of alerts) if (!headings.includes(name)) fault(where, `has no heading "## ${name}"`);
    entries.forEach((entry, index) => {
        if (!alerts.includes(headings[index])) fault(where, `"## ${headings[index]}" is no alert`);
        for (const part of ["Means", "At risk", "See more", "Do", "Over"]) {
            if (!entry.includes(`- **${part}**:`)) fault(where, `"## ${headings[index]}" does not say "${part}"`);
        }
    });
}

// Form of the dashboard as Grafana reads it: what panels must have, no two in one place or under one number.
function checkDashboard() {
    const where = "deploy/grafana/affilitrack.json";
    const dashboard = JSON.parse(readFileSync(where, "utf8"));
    for (const member of ["uid", "title", "schemaVersion", "panels", "templating", "time"]) {
        if (!(member in dashboard)) fault(where, `has no ${member}`);
    }
    const sources = dashboard.templating.list.filter((one) => one.type === "datasource").map((one) => `\${${one.name}}`);
    const numbers = new Set();
    const taken = new Map();
    const queries = [];
    for (const panel of dashboard.panels) {
        const at = `${where}, panel "${panel.title}"`;
        if (!Number.isInteger(panel.id) || numbers.has(panel.id)) fault(at, `its id ${panel.id} is no number of its own`);
        numbers.add(panel.id);
        if (!["row", "stat", "timeseries"].includes(panel.type)) fault(at, `type ${panel.type} is not used here`);
        const {x, y, w, h} = panel.gridPos ?? {};
        if (![x, y, w, h].every(Number.isInteger) || x + w > 24) fault(at, "its gridPos is not whole numbers within 24 columns");
        for (let column = x; column < x + w; column += 1) {
            for (let line = y; line < y + h; line += 1) {
                const other = taken.get(`${column},${line}`);
                if (other !== undefined && other !== panel.title) fault(at, `lies on "${other}"`);
                taken.set(`${column},${line}`, panel.title);
            }
        }
        if (panel.type === "row") continue;
        if (!panel.targets?.length) fault(at, "asks for nothing");
        for (const target of panel.targets ?? []) {
            if (!sources.includes(target.datasource?.uid)) fault(at, "asks no data source of the dashboard");
            checkQuery(at, target.expr);
            queries.push(target.expr);
        }
    }
    return queries;
}

function rustFiles(folder) {
    return readdirSync(folder, {withFileTypes: true}).flatMap((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return entry.name.startsWith(".") || ["target", "node_modules"].includes(entry.name) ? [] : rustFiles(path);
        return entry.name.endsWith(".rs") && path !== join("telemetry", "src", "metrics.rs") ? [path] : [];
    });
}

// Metrics that are in the table but that no line of the program sets. Said, not refused: a role may still be under way.
function silentMetrics() {
    const text = rustFiles(".").map((path) => readFileSync(path, "utf8")).join("\n");
    return [...used].filter((name) => !new RegExp(`\\bMetric::${metrics.get(name).variant}\\b`).test(text)).sort();
}

const alerts = checkAlerts();
checkTests(alerts);
checkRunbook(alerts);
const queries = checkDashboard();
const place = process.argv.indexOf("--rules");
if (place > 0) {
    const rules = queries.map((query, index) => ({record: `dashboard:${index}`, expr: query.replaceAll("$__rate_interval", "5m")}));
    writeFileSync(process.argv[place + 1], JSON.stringify({groups: [{name: "dashboard", rules}]}));
}
if (faults.length > 0) {
    console.error(faults.join("\n"));
    process.exit(1);
}
const silent = silentMetrics();
if (silent.length > 0) console.log(`\n*** alerts or dashboard use metrics that nothing sets yet: ${silent.join(", ")} ***\n`);
console.log(`${alerts.length} alerts, ${queries.length} queries of the dashboard and the runbook fit the program's metrics`);
