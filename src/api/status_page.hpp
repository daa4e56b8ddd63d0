#pragma once

#include <string_view>

namespace knap::api {

/// What a browser sees at "/". Static: no script, nothing of the notes.
inline constexpr std::string_view kStatusPage = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Knap</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; color: #222; }
code { background: #f2f2f2; padding: .1rem .3rem; border-radius: .2rem; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } code { background: #333; } a { color: #8ab4f8; } }
</style>
</head>
<body>
<h1>Knap is running</h1>
<p>It searches your notes and answers questions from them, with the lines they came from.</p>
<ul>
<li>Search: <a href="/api/search?q=knap"><code>/api/search?q=WORDS</code></a></li>
<li>Ask: <code>knap ask "your question"</code>, or <code>POST /api/ask</code></li>
<li>How far the index is: <a href="/api/index/status"><code>/api/index/status</code></a></li>
<li>Health: <a href="/status"><code>/status</code></a>, <a href="/readyz"><code>/readyz</code></a></li>
<li>Measurements: <a href="/api/performance/metrics"><code>/api/performance/metrics</code></a>, <a href="/metrics"><code>/metrics</code></a></li>
<li>OpenAI clients: base address <code>/v1</code>, model <code>knap</code></li>
<li>The whole interface: <a href="/openapi.json"><code>/openapi.json</code></a></li>
</ul>
</body>
</html>
)html";

}  // namespace knap::api
