// htmx as every page after sign-in uses it.

import htmx from "htmx.org";

// The Content-Security-Policy forbids eval and inline styles; history snapshots would keep pages in sessionStorage.
Object.assign(htmx.config, { allowEval: false, includeIndicatorStyles: false, historyCacheSize: 0, selfRequestsOnly: true, allowScriptTags: false });
