"""Style and script of the HTML page. The page works without the script, which filters rows."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d7dce3;
  --paper: #ffffff; --panel: #f5f7fa; --link: #1f5f9e;
  --c-bg: #f8d7d3; --c-ink: #7a1a10; --h-bg: #fce5c8; --h-ink: #6b3f00;
  --m-bg: #fff1b8; --m-ink: #5a4b00; --l-bg: #dff0e0; --l-ink: #1e4d25 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adba; --line: #3a4350;
  --paper: #14181e; --panel: #1e242c; --link: #8ebdf0;
  --c-bg: #5c1f18; --c-ink: #ffd9d3; --h-bg: #55360c; --h-ink: #ffe2bd;
  --m-bg: #4a4000; --m-ink: #fff0b0; --l-bg: #1f3d24; --l-ink: #cdeed1 } }
body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; margin: 1.5rem auto;
  max-width: 78rem; padding: 0 1rem; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem; margin: 0 0 .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0 } .soft { color: var(--soft) }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0 }
.card { flex: 1 1 8.5rem; background: var(--panel); padding: .6rem .8rem; border-radius: .3rem;
  border-left: .3rem solid var(--line) }
.card b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.card.CRITICAL, .card.late { border-color: #c0392b } .card.HIGH { border-color: #d98218 }
.card.MEDIUM { border-color: #c9a800 } .card.LOW { border-color: #3d9a50 }
.search { font: inherit; padding: .35rem .6rem; width: 22rem; max-width: 100%;
  color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top }
th { font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap }
th.n, td.n { text-align: right } td.w { overflow-wrap: anywhere }
.list tbody { border-bottom: 1px solid var(--line); break-inside: avoid }
.list td { white-space: nowrap } .list td.wide { white-space: normal; padding-bottom: .5rem }
.list td.t { white-space: normal; min-width: 14rem; overflow-wrap: anywhere }
.do { font-weight: 600 }
.wide > * { max-width: min(62rem, calc(100vw - 5rem)); overflow-wrap: anywhere }
.tier { display: inline-block; min-width: 5.2rem; text-align: center; padding: 0 .4rem;
  border-radius: .25rem; font-weight: 600; font-size: .85rem }
.tier.CRITICAL { background: var(--c-bg); color: var(--c-ink) }
.tier.HIGH { background: var(--h-bg); color: var(--h-ink) }
.tier.MEDIUM { background: var(--m-bg); color: var(--m-ink) }
.tier.LOW { background: var(--l-bg); color: var(--l-ink) }
.late { color: var(--c-ink); font-weight: 600 }
a { color: var(--link) }
details { margin: .2rem 0; overflow-x: auto } summary { cursor: pointer; color: var(--link) }
.plan { width: auto; margin: .3rem 0 .5rem 1rem } .plan td { white-space: normal }
.plan th, .plan td { padding-right: 1.2rem } .plan tr td { border-top: 1px solid var(--line) }
.sources td { border-bottom: 1px solid var(--line) }
[hidden] { display: none !important }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --panel: #fff;
  --link: #000; --c-bg: #fff; --c-ink: #000; --h-bg: #fff; --h-ink: #000; --m-bg: #fff;
  --m-ink: #000; --l-bg: #fff; --l-ink: #000 }
  @page { size: A4 landscape; margin: 12mm }
  html { font-size: 10.5px } body { font-size: 1rem; margin: 0; max-width: none; padding: 0 }
  .wide > * { max-width: none } .search { display: none } .scroll { overflow: visible }
  thead { display: table-header-group }
  .tier { border: 1px solid #888 } .card { border: 1px solid #bbb }
  details::details-content { content-visibility: visible; block-size: auto; opacity: 1 }
  h2 { break-after: avoid } tr { break-inside: avoid } }
"""

SCRIPT = """
const field = document.querySelector(".search"), count = document.querySelector(".found");
field.parentElement.hidden = false;
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let found = 0;
  for (const fail of document.querySelectorAll(".list > tbody")) {
    const text = fail.textContent.toLowerCase();
    fail.hidden = !words.every(word => text.includes(word));
    found += !fail.hidden;
  }
  count.textContent = words.length ? `${found} rows` : "";
});
"""
