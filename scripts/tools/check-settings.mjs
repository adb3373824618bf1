// Every AFFILITRACK_ variable that the deployment files set is one that the program knows: it refuses others at the
// start. Files to look into are the arguments; those of a rendered chart are also looked at as Kubernetes objects.
import {readFileSync} from "node:fs";
import {parseAllDocuments} from "yaml";

// From src/config.rs and src/config/layers.rs.
const OTHERS = ["AFFILITRACK_CONFIG", "AFFILITRACK_MASTER_KEY", "AFFILITRACK_DEMO"];

const faults = [];
const known = new Set(OTHERS);
let section = "";
for (const line of readFileSync("config.default.toml", "utf8").split("\n")) {
    section = line.match(/^\[(\w+)\]/)?.[1] ?? section;
    const key = line.match(/^(\w+) = /)?.[1];
    if (key) known.add(`AFFILITRACK_${section}_${key}`.toUpperCase());
    // Secrets may stand alone in a file.
    if (key === "password" || (section === "postgres" && key === "url")) known.add(`AFFILITRACK_${section}_${key}_FILE`.toUpperCase());
}

// What our pods must have besides what Kubernetes' own schemas say.
function checkPod(where, pod) {
    if (pod.enableServiceLinks !== false) fault(where, "enableServiceLinks must be false, or Kubernetes adds variables that are no settings");
    if (pod.automountServiceAccountToken !== false) fault(where, "automountServiceAccountToken must be false");
    if (pod.securityContext?.runAsNonRoot !== true) fault(where, "must run as another user than root");
    const volumes = new Set((pod.volumes ?? []).map((volume) => volume.name));
    for (const container of pod.containers) {
        const context = container.securityContext ?? {};
        if (context.readOnlyRootFilesystem !== true) fault(where, "its root must be read-only");
        if (context.allowPrivilegeEscalation !== false) fault(where, "must not gain privileges");
        if (!context.capabilities?.drop?.includes("ALL")) fault(where, "must drop all capabilities");
        if (!container.resources?.limits?.memory) fault(where, "has no limit of memory");
        for (const mount of container.volumeMounts ?? []) {
            if (!volumes.has(mount.name) && !where.includes("StatefulSet")) fault(where, `there is no volume ${mount.name}`);
        }
    }
}

function fault(where, words) {
    faults.push(`${where}: ${words}`);
}

// A selector that finds no pods is right by every schema.
function checkSelectors(file, objects) {
    const pods = objects.map((object) => object.spec?.template?.metadata?.labels).filter(Boolean);
    for (const object of objects.filter((one) => ["Service", "PodDisruptionBudget"].includes(one.kind) && one.spec.selector)) {
        const wanted = Object.entries(object.spec.selector.matchLabels ?? object.spec.selector);
        if (!pods.some((labels) => wanted.every(([name, value]) => labels[name] === value))) {
            fault(`${file}, ${object.kind} ${object.metadata.name}`, "its selector finds no pod");
        }
    }
}

for (const file of process.argv.slice(2)) {
    const text = readFileSync(file, "utf8");
    for (const [name] of text.matchAll(/(?<![$\w{])AFFILITRACK_[A-Z0-9_]+/g)) {
        if (!known.has(name)) fault(file, `${name} is no setting of config.default.toml`);
    }
    if (!/^kind: /m.test(text)) continue;
    const objects = parseAllDocuments(text).map((document) => document.toJS()).filter(Boolean);
    for (const object of objects) {
        const pod = object.spec?.template?.spec;
        if (pod) checkPod(`${file}, ${object.kind} ${object.metadata.name}`, pod);
    }
    checkSelectors(file, objects);
}
if (faults.length > 0) {
    console.error([...new Set(faults)].join("\n"));
    process.exit(1);
}
console.log(`${process.argv.length - 2} files set only variables that are settings`);
