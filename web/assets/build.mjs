// Bundles assets/src into assets/dist with content hashes, writes a gzip copy of each
// file and manifest.json. Running it again with the same sources changes nothing.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "src");
const dist = join(here, "dist");

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/js/app.js", style: "src/css/style.css" },
  outdir: dist,
  write: false,
  bundle: true,
  minify: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  legalComments: "none",
  metafile: true,
});

const wanted = new Map();
const files = {};
for (const output of result.outputFiles) {
  const name = basename(output.path);
  wanted.set(name, Buffer.from(output.contents));
  // `chart-XCHUNK.js` is known to the pages as `chart.js`.
  files[name.replace(/-[A-Z0-9]{8}(?=\.\w+$)/, "")] = name;
}
const icon = readFileSync(join(source, "icon.svg"));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
wanted.set(iconName, icon);
files["icon.svg"] = iconName;

for (const [name, bytes] of [...wanted]) wanted.set(`${name}.gz`, gzipSync(bytes, { level: 9 }));
const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
wanted.set("manifest.json", Buffer.from(`${JSON.stringify({ files: sorted }, null, 2)}\n`));

mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) if (!wanted.has(name) && name !== ".built") rmSync(join(dist, name), { recursive: true });
for (const [name, bytes] of wanted) {
  const path = join(dist, name);
  // An unchanged file keeps its time, so that cargo has nothing to do.
  if (!existsSync(path) || !readFileSync(path).equals(bytes)) writeFileSync(path, bytes);
}
// Its time says when the bundle was last known to be newer than its sources.
writeFileSync(join(dist, ".built"), "");

const compressed = [...wanted].filter(([name]) => name.endsWith(".gz")).reduce((sum, [, bytes]) => sum + bytes.length, 0);
console.log(`web bundle: ${Object.keys(sorted).length} files, ${(compressed / 1024).toFixed(1)} KB compressed`);
