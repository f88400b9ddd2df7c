"""The one style of the Data Docs: our own words for the few classes that their pages use, in light and dark."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #b3261e; --good: #1b6e3c; --warn: #8a5a00; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7bd49b; --warn: #f2c14e; } }
body { background: Canvas; color: CanvasText; font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main, .container-fluid { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h5, h6, .h6 { font-size: 1rem; font-weight: 600; margin: 0; }
ul, ol { padding-inline-start: 1.2rem; } nav ul, nav ol { list-style: none; padding: 0; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
td, th { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
.alert { background: var(--soft); border-left: 4px solid var(--line); padding: .6rem .8rem; margin: 1rem 0 .5rem; }
.badge { border: 1px solid var(--line); border-radius: 4px; padding: 0 .3rem; }
.breadcrumb { display: flex; gap: .6rem; padding: 0 1rem; }
.table-responsive { overflow-x: auto; }
.failed, .text-danger { color: var(--bad); } .passed, .text-success { color: var(--good); }
.warned, .text-warning { color: var(--warn); } td.failed, td.warned { min-width: 12rem; }
td ul { color: CanvasText; font-size: .85rem; }
.fa-check-circle::before { content: "✓"; } .fa-times::before { content: "✗"; }
.fa-exclamation-triangle::before { content: "!"; } .fas { font-style: normal; font-weight: 700; }
.modal, .btn, .btn-group, .card:has(.btn-group), a[data-toggle=collapse], [hidden], .cooltip .top {
  display: none !important;
}
@media print { nav { display: none; } tr, .alert { break-inside: avoid; } h1, h5, h6 { break-after: avoid; } }
"""
