// Starts the dashboard, and does for it what would take many calls from wasm. The page is complete without it, so a failure
// costs live updates only, and says so.
import init from "./dashboard.js";

// The one way in which text becomes elements. Edge and views escape what others wrote, and the page's policy runs nothing
// that is inline; should both ever fail, what could run is refused here.
const inert = {
  createHTML(html) {
    if (/<script/i.test(html)) throw new TypeError("a part of the page would run a script");
    return html;
  },
};
const policy = globalThis.trustedTypes?.createPolicy("slipway", inert) ?? inert;

// A page that is fetched names this very script.
const OWN = /<script type="module" src="\/assets\/[\w./-]+"><\/script>/;

globalThis.slipway = {
  parse(html) {
    const template = document.createElement("template");
    template.innerHTML = policy.createHTML(html.replace(OWN, ""));
    return template.content;
  },
  async ask(url, accept, tag, done) {
    const answer = { url, status: 0, text: "", wait: 0 };
    try {
      const headers = tag ? { accept, "if-none-match": tag } : { accept };
      const signal = AbortSignal.timeout(30000);
      const response = await fetch(url, { headers, signal, mode: "same-origin", redirect: "error" });
      const isAsked = (response.headers.get("content-type") ?? "").startsWith(accept);
      if (response.status === 200 && isAsked) answer.text = await response.text();
      if (response.status !== 200 || isAsked) answer.status = response.status;
      answer.wait = Number(response.headers.get("retry-after")) || 0;
    } catch {
      // No network, or nothing that may be read: its status says so.
    }
    done(answer);
  },
  async copy(text, done) {
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    done(isCopied ?? false);
  },
};

init(new URL("dashboard_bg.wasm", import.meta.url)).catch((reason) => {
  const freshness = document.getElementById("freshness");
  if (freshness) freshness.append(" · live updates could not start; reload to see changes");
  console.error("starting the dashboard failed:", reason);
});
