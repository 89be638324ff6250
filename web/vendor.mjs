// Copies the page's libraries, in the versions of package-lock.json, into vendor/ unchanged:
// `npm ci && npm run vendor`. vendor/manifest.json lists them; a test checks the hashes.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const TAKEN = {
  preact: { "dist/preact.mjs": "preact.mjs", "hooks/dist/hooks.mjs": "preact-hooks.mjs" },
  htm: { "dist/htm.mjs": "htm.mjs" },
  "lightweight-charts": {
    "dist/lightweight-charts.standalone.production.mjs": "lightweight-charts.mjs",
  },
};

/** Copies one file of a package; returns its entry in the manifest. */
function take(name, source, target) {
  const bytes = readFileSync(`node_modules/${name}/${source}`);
  writeFileSync(`vendor/${target}`, bytes);
  return { file: target, source, sha256: createHash("sha256").update(bytes).digest("hex") };
}

const manifest = Object.entries(TAKEN).map(([name, files]) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  const taken = Object.entries({ ...files, LICENSE: `${name}.LICENSE.txt` });
  return { package: name, version, license, files: taken.map(([from, to]) => take(name, from, to)) };
});
writeFileSync("vendor/manifest.json", `${JSON.stringify(manifest, null, 2)}\n`);
