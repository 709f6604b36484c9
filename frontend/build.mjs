// Builds the scripts and style sheets into src/cloister/web/static/dist: content hashes in the names,
// Subresource Integrity digests in manifest.json (W3C SRI). The door compresses.
//
// Nothing is fetched from elsewhere at run time: fonts and icons are files of the build.
// Each page's script is one file without imports, so that its integrity digest covers all of it; the Argon2id
// worker is a file of its own (the Content-Security-Policy admits no blob:), which the script checks by its digest.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { PurgeCSS } from "purgecss";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
const OUT = join(ROOT, "src/cloister/web/static/dist");
const TARGET = ["chrome116", "firefox139", "safari18"]; // the first versions with WebAuthn PRF
const SCRIPTS = ["argon2.worker", "signin", "account", "again", "enrol", "recovery", "prove", "worker", "app", "console", "network"];
const MODULES = ["program"]; // noVNC asks the browser something while it loads, which only a module script may wait for
const STYLES = ["signin", "app"];
const CONTENT = ["src/cloister/{web,epr}/**/*.{html,py}", "frontend/src/*.js"].map((glob) => join(ROOT, glob));

const manifest = {};

function write(name, body) {
  const extension = extname(name);
  const hash = createHash("sha256").update(body).digest("hex").slice(0, 12);
  const path = `${basename(name, extension)}.${hash}${extension}`;
  const integrity = "sha384-" + createHash("sha384").update(body).digest("base64");
  writeFileSync(join(OUT, path), body);
  manifest[name] = { path, integrity, bytes: body.length };
  return path;
}

async function bundle(options) {
  const result = await esbuild.build({ bundle: true, minify: true, write: false, target: TARGET, legalComments: "none", logLevel: "warning", ...options });
  return result.outputFiles;
}

function writeFont() {
  const file = join(ROOT, "node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2");
  return write("inter.woff2", readFileSync(file));
}

async function writeStyle(name, font) {
  // The font's place is known only now; in the sources it is url("font:inter").
  const place = {
    name: "font",
    setup(build) {
      build.onResolve({ filter: /^font:inter$/ }, () => ({ path: `/static/${font}`, external: true }));
      build.onResolve({ filter: /^\/static\// }, ({ path }) => ({ path, external: true }));
    },
  };
  const [file] = await bundle({ entryPoints: [join(HERE, `css/${name}.css`)], plugins: [place], loader: { ".svg": "dataurl" } });
  const [purged] = await new PurgeCSS().purge({
    content: CONTENT,
    css: [{ raw: file.text }],
    variables: false,
    keyframes: true,
    safelist: { standard: ["html", "body", "show", "active", "disabled", "is-invalid"], greedy: [/^htmx-/, /^event-/, /^flag-/, /^trend-/, /^curve-/, /focus-visible/] },
    defaultExtractor: (text) => text.match(/[A-Za-z0-9_:/.%-]+/g) ?? [],
  });
  const [small] = await bundle({ stdin: { contents: purged.css, loader: "css" }, plugins: [place] });
  write(`${name}.css`, Buffer.from(small.contents));
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
for (const name of SCRIPTS) {
  const [file] = await bundle({ entryPoints: [join(HERE, `src/${name}.js`)], format: "iife" });
  write(`${name}.js`, Buffer.from(file.contents));
}
for (const name of MODULES) {
  const [file] = await bundle({ entryPoints: [join(HERE, `src/${name}.js`)], format: "esm" });
  write(`${name}.js`, Buffer.from(file.contents));
}
const font = writeFont();
for (const name of STYLES) await writeStyle(name, font);
for (const name of readdirSync(join(HERE, "icons"))) write(name, readFileSync(join(HERE, "icons", name)));
writeFileSync(join(OUT, "manifest.json"), JSON.stringify(manifest, null, 1));
for (const [name, { path, bytes }] of Object.entries(manifest)) console.log(`${String(bytes).padStart(8)}  ${name} -> ${path}`);
