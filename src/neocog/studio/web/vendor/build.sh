#!/bin/sh
# Build the libraries of the page anew: the same bytes each time. Their licences stand beside them.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
bundle="node_modules/.bin/esbuild --bundle --minify --format=esm --target=es2020 --legal-comments=inline --log-level=warning"
echo 'export { default } from "uplot";' | $bundle --outfile=uplot.js
echo 'export { html, render, nothing } from "lit-html"; export { live } from "lit-html/directives/live.js"; export { repeat } from "lit-html/directives/repeat.js";' | $bundle --outfile=lit-html.js
cp node_modules/uplot/dist/uPlot.min.css uplot.css
cp node_modules/uplot/LICENSE LICENSE-uplot.txt
cp node_modules/lit-html/LICENSE LICENSE-lit-html.txt
rm -rf node_modules
