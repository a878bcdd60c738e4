// Writes ../report.js: all modules of this folder and the parts of d3 that they use, as one script that defines
// `fxnasReport`. The same sources give the same bytes, on every machine.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

/** What `LC_ALL=C; cat *.js *.json | sha256sum` prints here: so a test can tell old scripts without node. */
function fingerprint() {
  const names = readdirSync(here).filter((name) => /\.js(on)?$/.test(name));
  const byKind = [".js", ".json"].flatMap((kind) => names.filter((name) => name.endsWith(kind)).sort());
  const hash = createHash("sha256");
  for (const name of byKind) hash.update(readFileSync(here + name));
  return hash.digest("hex");
}

/** The licences of the packages that a build took something from; each text once. */
function licences(inputs) {
  const taken = Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const packages = new Set(taken.flatMap(([path]) => path.match(/^node_modules\/[^/]+/)?.[0] ?? []));
  const texts = {};
  for (const folder of [...packages].sort()) {
    const { name, version } = JSON.parse(readFileSync(`${here}${folder}/package.json`, "utf8"));
    (texts[readFileSync(`${here}${folder}/LICENSE`, "utf8").trim()] ??= []).push(`${name} ${version}`);
  }
  return Object.entries(texts).map(([text, names]) => `${names.join(", ")}:\n\n${text}\n`).join("\n");
}

const { outputFiles, metafile } = await build({
  entryPoints: ["main.js"],
  absWorkingDir: here,
  outfile: "report.js",
  bundle: true,
  write: false,
  metafile: true,
  format: "iife",
  globalName: "fxnasReport",
  target: "es2022",
  charset: "utf8",
  minify: true,
  lineLimit: 120,
  logLevel: "warning",
});
const [{ inputs }] = Object.values(metafile.outputs);
const head = `/*!
Made by fxnas/report/web/src/build.js from the modules beside it; not to be edited.
sources ${fingerprint()}

With parts of

${licences(inputs)}*/
`;
writeFileSync(`${here}../report.js`, head + outputFiles[0].text);
