"""The report's page: its style and its template. No scripts, and nothing that is loaded from anywhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --back: #fff; --text: #1b1f24; --quiet: #57606a; --line: #c9d1d9; --soft: #f4f6f8; --mark: #2f6fb7;
  --good: #1a6f37; --warn: #7a4d00; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #111418; --text: #e6eaef; --quiet: #9aa5b1; --line: #3d454e; --soft: #1a1f25; --mark: #6aa9ea;
    --good: #7bd49b; --warn: #f2c14e; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { margin: 0 auto; max-width: 76rem; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { border-top: 1px solid var(--line); font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-top: 1.25rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
p { margin: .25rem 0 .6rem; max-width: 46rem; }
a { color: inherit; text-underline-offset: .15em; }
code { font: .87em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; }
td { overflow-wrap: anywhere; }
th { font-weight: 400; } thead th { color: var(--quiet); font-weight: 600; }
.n { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.quiet { color: var(--quiet); } .good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.verdict { font-size: 1.2rem; font-weight: 600; }
.note { background: var(--soft); border-left: 4px solid currentColor; margin: .75rem 0; padding: .7rem 1rem; }
.note > * { color: var(--text); }
.plots { display: grid; gap: 2rem 3rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.plots figure { margin: 0; } figure svg { display: block; height: auto; max-width: 30rem; width: 100%; }
figure svg text { font-family: system-ui, sans-serif !important; }
details { font-size: .9rem; max-width: 30rem; } summary { color: var(--quiet); cursor: pointer; }
.mosaic { display: grid; gap: 1.5rem 1.25rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
  list-style: none; margin: 0; padding: 0; }
.mosaic + .mosaic { border-top: 1px solid var(--line); margin-top: 1.25rem; padding-top: 1.25rem; }
.mosaic figure { margin: 0; }
.mosaic img { background: #f4f6f8; display: block; height: 11rem; object-fit: contain; width: 100%; }
.mosaic figcaption { font-size: .8rem; line-height: 1.4; margin-top: .4rem; overflow-wrap: anywhere; }
.mosaic b, .mosaic .caption { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4;
  overflow: hidden; }
@media (max-width: 30rem) {
  main { padding: 1.25rem 1rem 3rem; }
  .mosaic { gap: 1.25rem .9rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
}
@media print {
  :root { color-scheme: light; --back: #fff; --text: #000; --quiet: #444; --line: #bbb; --soft: #fff; --mark: #2f6fb7;
    --good: #1a6f37; --warn: #7a4d00; --bad: #b3261e; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  h2 { margin: 1.25rem 0 .5rem; padding-top: .75rem; } h2, h3, h2 + p { break-after: avoid; }
  figure, table, .note { break-inside: avoid; } details { display: none; }
  header a::after { content: " (" attr(href) ")"; }
  .plots { gap: 1.25rem 2rem; grid-template-columns: 1fr 1fr; }
  .mosaic { gap: 1rem; grid-template-columns: repeat(4, 1fr); } .mosaic img { height: 8rem; }
}
@page { margin: 15mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; } }
"""

TEMPLATE = """{% macro mosaic(pictures) %}
<ul class="mosaic">
{% for picture in pictures %}
<li><figure>
<img src="{{ picture.source }}" alt="{{ picture.caption or picture.title }}">
<figcaption>
<b>{% if picture.page.startswith("https://") %}<a href="{{ picture.page }}">{{ picture.title }}</a>
{% else %}{{ picture.title }}{% endif %}</b>
<span class="caption" lang="{{ picture.language }}" dir="auto">{{ picture.caption }}</span>
<span class="quiet">{{ picture.author or "author not stated" }} · {{ picture.licence or "licence not stated" }}</span>
</figcaption>
</figure></li>
{% endfor %}
</ul>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Release {{ facts.version }}: report</title>
<style>{{ style | safe }}</style>
</head>
<body>
<main>
<header>
<h1>Release {{ facts.version }}</h1>
<p>{{ "{:,}".format(facts.released) }} pictures of Wikimedia Commons with captions and embeddings, out of
{{ "{:,}".format(facts.images) }} that were considered. <a href="quality/index.html">Data Docs</a> ·
<a href="README.md">Card</a> · <a href="manifest.json">Manifest</a></p>
</header>

<section id="verdict">
<h2>Verdict</h2>
{% if verdict.errors %}
<p class="verdict bad">✗ {{ verdict.errors | length }} of {{ verdict.expectations | length }} expectations failed</p>
{% elif verdict.warnings %}
<p class="verdict warn">! {{ verdict.warnings | length }} warning{{ "s" if verdict.warnings | length > 1 }}:
{{ holding }} of {{ verdict.expectations | length }} expectations hold</p>
{% else %}
<p class="verdict good">✓ Nothing stands in the way of publication: {{ holding }} of
{{ verdict.expectations | length }} expectations hold</p>
{% endif %}
<p>{{ verdict.comparison }}</p>
{% if facts.accepted %}
<p class="note warn"><b>Published in spite of warnings, because: {{ facts.config.accept }}</b></p>
{% endif %}
{% for one in verdict.errors + verdict.warnings %}
<div class="note {{ 'bad' if one.severity == 'critical' else 'warn' }}">
<h3>{{ one.description }}</h3>
<p><code>{{ one.name }}</code> · {{ "error" if one.severity == "critical" else "warning" }} ·
{% if one.unexpected is not none %}{{ "{:,}".format(one.unexpected) }} unexpected
{% else %}observed {{ one.observed }}{% endif %}</p>
<p>{{ one.notes }}</p>
</div>
{% endfor %}
</section>

<section id="warnings">
<h2>Before you use it</h2>
{% if facts.config.stand_in %}
<p class="note warn"><b>Made with stand-in models. Faces and embeddings are of no use but to show how a release
looks.</b></p>
{% endif %}
<p>Each picture has its own licence and author; the ledger names them.</p>
<table>
<thead><tr><th scope="col">Model</th><th scope="col">Terms of its weights</th></tr></thead>
<tbody>{% for name, terms in weights %}<tr><th scope="row">{{ name }}</th><td>{{ terms }}</td></tr>{% endfor %}</tbody>
</table>
</section>

<section id="funnel">
<h2>From WIT to the release</h2>
<table>
<thead><tr><th scope="col">Step</th><th scope="col" class="n">Count</th>
<th scope="col" class="n">Share</th></tr></thead>
<tbody>{% for step in funnel %}
<tr><th scope="row">{{ step.name }}</th><td class="n">{{ "{:,}".format(step.count) }}</td>
<td class="n">{{ "{:.1%}".format(step.share) }}</td></tr>{% endfor %}</tbody>
</table>
</section>

<section id="plots">
<h2>What is in it</h2>
<div class="plots">
{% for plot in plots %}
<figure>
<h3>{{ plot.title }}</h3>
{{ plot.svg | safe }}
{% if plot.numbers %}
<details><summary>Numbers</summary>
<table><tbody>{% for name, count in plot.numbers %}
<tr><th scope="row">{{ name }}</th><td class="n">{{ count }}</td></tr>
{% endfor %}</tbody></table>
</details>
{% endif %}
</figure>
{% endfor %}
</div>
</section>

{% if facts.changes %}
<section id="changes">
<h2>What changed since release {{ facts.base }}</h2>
<table>
<thead><tr><th scope="col">Change</th><th scope="col" class="n">Images</th><th scope="col">Of them</th></tr></thead>
<tbody>{% for change, counted in facts.changes.items() %}
<tr><th scope="row">{{ change }}</th><td class="n">{{ "{:,}".format(counted.images) }}</td>
<td>{% for why, number in counted.by.items() %}{{ why }}: {{ "{:,}".format(number) }}{{ ", " if not loop.last }}
{% endfor %}</td></tr>{% endfor %}</tbody>
</table>
<p>Image by image: <code>changes/</code>. An image that changed in several ways counts once for each.</p>
</section>
{% endif %}

<section id="pictures">
<h2>A sample of the released pictures</h2>
<p class="quiet">{{ pictures | length }} of {{ "{:,}".format(facts.released) }}, drawn at random.</p>
{{ mosaic(pictures) }}
</section>

{% if facts.near_duplicates %}
<section id="alike">
<h2>Pictures that look alike</h2>
<p class="quiet">Pictures that look like another one: {{ "{:,}".format(facts.near_duplicates) }}. They stay in the
release; <code>near_duplicate_of</code> names the other one. Some groups of them:</p>
{% for group in alike %}
{{ mosaic(group) }}
{% endfor %}
</section>
{% endif %}
</main>
</body>
</html>
"""
