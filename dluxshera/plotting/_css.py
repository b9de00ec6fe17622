"""The look of the report pages: dark on light, one column, nothing from a network."""

CSS = """
:root { color-scheme: light; --ink: #1c2126; --soft: #59636e; --line: #d5dae0; --tint: #f5f7f9; --link: #0b5394; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
header, nav, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 28px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 40px 0 10px; padding-top: 10px; border-top: 1px solid var(--line); }
p { margin: 8px 0; max-width: 78ch; }
code, .run { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.92em; overflow-wrap: anywhere; }
.run, figcaption, caption, dt, footer { color: var(--soft); }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999em; }
.skip:focus { position: static; display: inline-block; padding: 8px 28px; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 22px; padding: 10px 0 0; margin: 0; list-style: none; }
.facts { display: flex; flex-wrap: wrap; gap: 14px 40px; margin: 20px 0 4px; }
.findings span { overflow-wrap: anywhere; }
.facts dt { font-size: 0.82rem; }
.facts dd { margin: 0; font-size: 1.12rem; font-variant-numeric: tabular-nums; }
.verdict { border-left: 6px solid; padding: 10px 16px; background: var(--tint); font-size: 1.12rem; font-weight: 600;
  max-width: none; }
.findings { padding: 0; margin: 12px 0 0; list-style: none; }
.findings li { display: grid; grid-template-columns: 5.4em 9.9em 1fr; gap: 12px; padding: 6px 0;
  border-bottom: 1px solid var(--line); }
.findings b { font-weight: 600; white-space: nowrap; }
.mark { font-weight: 600; white-space: nowrap; }
.good { color: #1b6e3c; } .warning { color: #8a5300; } .bad { color: #a3201d; }
.verdict.good { border-color: #1b6e3c; } .verdict.warning { border-color: #b87514; }
.verdict.bad { border-color: #a3201d; }
figure { margin: 12px 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 0.88rem; max-width: 90ch; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px 32px; align-items: start; }
.scroll { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; font-size: 0.82rem; }
caption { text-align: left; padding-bottom: 6px; font-size: 0.88rem; }
th, td { padding: 3px 16px 3px 0; text-align: left; font-weight: 400; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid #eceff2; }
thead th { font-weight: 600; border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tbody th, td.number { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.number { text-align: right; }
tbody tr:hover { background: var(--tint); }
details { margin: 8px 0; }
summary { cursor: pointer; font-weight: 600; padding: 2px 0; }
.settings td { white-space: pre-wrap; overflow-wrap: anywhere; }
.settings caption { position: absolute; left: -999em; }
.settings th { min-width: 18em; }
.controls { display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: baseline; margin: 10px 0; }
.controls input, .controls select { font: inherit; padding: 3px 8px; border: 1px solid #8b949e; border-radius: 4px;
  background: #fff; color: inherit; }
.controls span { color: var(--soft); font-variant-numeric: tabular-nums; }
#runs-table th, #runs-table td { padding-right: 10px; }
#runs-table thead th { white-space: normal; }
th button { all: unset; cursor: pointer; font-weight: 600; padding: 4px 0; }
th button:hover { color: var(--link); }
th button:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
th button::after { content: "\\2195"; color: #8b949e; padding-left: 4px; }
th[aria-sort="ascending"] button::after { content: "\\2191"; color: var(--ink); }
th[aria-sort="descending"] button::after { content: "\\2193"; color: var(--ink); }
tr[hidden] { display: none; }
.reasons td { white-space: normal; overflow-wrap: anywhere; }
footer { padding: 30px 28px 40px; font-size: 0.85rem; }
@media (max-width: 800px) { .pair { grid-template-columns: 1fr; } .findings li { grid-template-columns: 1fr; gap: 0; } }
@media print { nav, .skip { display: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; } }
"""
