#!/bin/sh
# Build the library of the page anew: the same bytes each time. Its licence stands beside it.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
bundle="node_modules/.bin/esbuild --bundle --minify --format=esm --target=es2020 --legal-comments=inline --log-level=warning"
echo 'export { default } from "uplot";' | $bundle --outfile=uplot.js
cp node_modules/uplot/dist/uPlot.min.css uplot.css
cp node_modules/uplot/LICENSE LICENSE-uplot.txt
rm -rf node_modules
